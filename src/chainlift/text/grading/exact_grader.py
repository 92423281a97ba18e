"""Answers that are numbers, compared as exact fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from chainlift.text.grading import numbers
from chainlift.text.grading.answer_place import marked_or_boxed, until_next_question
from chainlift.text.grading.grade import Grade, How, Tally


class ExactGrader:
    """Right is the same number: behind the first answer mark, else in the last box, else the last one of the text.

    What follows a mark or is in a box must be one number, with a unit or a currency at most. What follows an
    invented next question is not read.
    """

    def __init__(self, answer_mark: str) -> None:
        self._mark = answer_mark
        self._tally = Tally()

    def grade_all(self, completions: Sequence[str], answers: Sequence[str]) -> list[Grade]:
        """A grade for each completion; ValueError in one line for a right answer that is not a number."""
        return self._tally.add([self._grade(text, answer) for text, answer in zip(completions, answers, strict=True)])

    def counts(self) -> dict[str, int]:
        """Counts since the last call."""
        return self._tally.take()

    def close(self) -> None:
        """Nothing works in the background."""

    def _grade(self, completion: str, answer: str) -> Grade:
        expected = numbers.read(answer)
        if expected is None:
            raise ValueError(f"the right answer {answer!r} is no number; use task.grader=math for formulas")
        found, how = self._found(completion)
        return Grade(found is not None and found == expected, how)

    def _found(self, completion: str) -> tuple[Fraction | None, How]:
        """(the number that a completion answers, where it stood)."""
        text, how = marked_or_boxed(completion, self._mark)
        if text is None:
            value, how = numbers.last(until_next_question(completion)), "last number"
        else:
            value = numbers.read(text)
        return value, "no answer" if value is None else how
