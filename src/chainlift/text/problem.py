"""A problem in words with its worked solution and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ANSWER_MARK = "####"
"""The mark before the final answer, as in GSM8K."""


@dataclass(frozen=True)
class Problem:
    """A problem; ValueError if a text is empty or the answer has several lines."""

    question: str
    solution: str
    """The worked solution without the line that repeats the answer."""
    answer: str
    """The final answer as the data set writes it, on one line."""
    steps: int | None = None
    """Number of steps of the solution, if each of its lines is one step; otherwise None."""

    def __post_init__(self) -> None:
        for name in ("question", "solution", "answer"):
            if not getattr(self, name).strip():
                raise ValueError(f"the {name} is empty")
        if "\n" in self.answer:
            raise ValueError(f"the answer {self.answer!r} has more than one line")


Splits = tuple[Sequence[Problem], Sequence[Problem]]
"""(training problems, test problems)."""
