"""The grader of answers that are numbers, compared as exact fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from chainlift.text.grading import numbers
from chainlift.text.grading.answer_place import marked_or_boxed, until_next_question
from chainlift.text.grading.grade import Grade, Outcome, Tally


class ExactGrader:
    """Grader of numbers: after the first answer mark, else in the last box, else the last number of the text.

    The text after a mark or in a box must be one number, at most with a unit or a currency. Text after an invented next
    question is ignored.
    """

    def __init__(self, answer_mark: str) -> None:
        self._mark = answer_mark
        self._tally = Tally()

    def grade_all(self, completions: Sequence[str], answers: Sequence[str]) -> list[Grade]:
        """A grade for each completion; ValueError in one line for a right answer that is not a number."""
        return self._tally.add([self._grade(text, answer) for text, answer in zip(completions, answers, strict=True)])

    def counts(self) -> dict[str, int]:
        """Counts of outcomes since the last call."""
        return self._tally.take()

    def close(self) -> None:
        """Do nothing: this grader has no workers."""

    def _grade(self, completion: str, answer: str) -> Grade:
        """The grade of one completion."""
        expected = numbers.read(answer)
        if expected is None:
            raise ValueError(f"the right answer {answer!r} is not a number; use task.grader=math for formulas")
        value, outcome = self._find_answer(completion)
        return Grade(value is not None and value == expected, outcome)

    def _find_answer(self, completion: str) -> tuple[Fraction | None, Outcome]:
        """(number that the completion answers, its place)."""
        text, outcome = marked_or_boxed(completion, self._mark)
        if text is None:
            value, outcome = numbers.last(until_next_question(completion)), "last number"
        else:
            value = numbers.read(text)
        return value, "no answer" if value is None else outcome
