"""The common part of all graders: the grade, the protocol, and the counts of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Outcome = Literal["mark", "boxed", "last number", "formula", "no answer", "timeout", "crash"]
"""The place where an answer was found, or the reason why there is none."""
COUNTED: dict[Outcome, str] = {
    "last number": "by_last_number",
    "no answer": "no_answer",
    "timeout": "timeouts",
    "crash": "crashes",
}
"""{outcome that is counted: name under which its count is recorded}."""


@dataclass(frozen=True)
class Grade:
    """The judgment of one completion."""

    is_right: bool
    outcome: Outcome


class Grader(Protocol):
    """The protocol of graders of completions."""

    def grade_all(self, completions: Sequence[str], answers: Sequence[str]) -> list[Grade]:
        """Grade each completion against the right answer to its problem."""
        ...

    def counts(self) -> dict[str, int]:
        """Counts {graded, by_last_number, no_answer, timeouts, crashes} since the last call."""
        ...

    def close(self) -> None:
        """End all background workers; a grader that is used again starts new ones."""
        ...


class Tally:
    """Counts of grades, by outcome."""

    def __init__(self) -> None:
        self._grades: list[Grade] = []

    def add(self, grades: list[Grade]) -> list[Grade]:
        """Count grades, and return them."""
        self._grades += grades
        return grades

    def take(self) -> dict[str, int]:
        """Return the counts since the last call, and begin again at zero."""
        grades, self._grades = self._grades, []
        return {"graded": len(grades)} | {
            name: sum(grade.outcome == outcome for grade in grades) for outcome, name in COUNTED.items()
        }
