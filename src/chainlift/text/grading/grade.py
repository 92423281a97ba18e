"""What every judge of answers shares: a verdict, its protocol, and its counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

How = Literal["mark", "boxed", "last number", "formula", "no answer", "timeout", "crash"]
"""Where an answer was found, or why there is none."""
COUNTED: dict[How, str] = {
    "last number": "by_last_number",
    "no answer": "no_answer",
    "timeout": "timeouts",
    "crash": "crashes",
}
"""What is counted, by the name under which it is recorded."""


@dataclass(frozen=True)
class Grade:
    """A verdict on one completion."""

    is_right: bool
    how: How


class Grader(Protocol):
    """A judge of completions."""

    def grade_all(self, completions: Sequence[str], answers: Sequence[str]) -> list[Grade]:
        """A grade for each completion, given the right answer to its problem."""
        ...

    def counts(self) -> dict[str, int]:
        """{graded, by_last_number, no_answer, timeouts, crashes} since the last call of this."""
        ...

    def close(self) -> None:
        """End what works in the background; a grader that is used again begins anew."""
        ...


class Tally:
    """Counts of grades."""

    def __init__(self) -> None:
        self._grades: list[Grade] = []

    def add(self, grades: list[Grade]) -> list[Grade]:
        """The grades, which are counted."""
        self._grades += grades
        return grades

    def take(self) -> dict[str, int]:
        """The counts since the last call."""
        taken, self._grades = self._grades, []
        return {"graded": len(taken)} | {name: sum(one.how == how for one in taken) for how, name in COUNTED.items()}
