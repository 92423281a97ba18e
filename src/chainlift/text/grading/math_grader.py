"""The grader of formulas: by their texts if these decide, otherwise by math-verify in worker processes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from chainlift.text.grading import math_text
from chainlift.text.grading.answer_place import marked_or_boxed, until_next_question
from chainlift.text.grading.grade import Grade, Outcome, Tally
from chainlift.text.grading.math_pool import MathPool, Pair, Verdict

SECONDS = 5.0  # for one comparison; ordinary ones take a few milliseconds
MAX_CHARACTERS = 2000  # a longer text does not count as an answer
MAX_DEPTH = 40  # nested brackets; with more, parsers take minutes or overflow their stack


class MathGrader:
    """Grader of formulas: right if written as the expected one, or equal to it by math-verify.

    The answer follows the first answer mark, or is in the last box, or in the last line with a formula.
    """

    def __init__(self, answer_mark: str, *, seconds: float = SECONDS) -> None:
        """seconds: time limit of one comparison, after which its worker is killed."""
        if importlib.util.find_spec("math_verify") is None:
            raise ValueError("task.grader=math needs math_verify: pip install 'chainlift[llm]'")
        self._mark = answer_mark
        self._pool = MathPool(seconds)
        self._tally = Tally()

    def grade_all(self, completions: Sequence[str], answers: Sequence[str]) -> list[Grade]:
        """A grade for each completion, in order; pairs that occur twice are compared once."""
        found_answers = [self._find_answer(completion) for completion in completions]
        pairs = {(text, answer) for (text, _), answer in zip(found_answers, answers, strict=True) if text is not None}
        verdicts = self._verdicts(sorted(pairs))
        grades = []
        for (text, outcome), answer in zip(found_answers, answers, strict=True):
            verdict = False if text is None else verdicts[text, answer]
            grades.append(Grade(verdict, outcome) if isinstance(verdict, bool) else Grade(False, verdict))
        return self._tally.add(grades)

    def counts(self) -> dict[str, int]:
        """Counts of outcomes since the last call."""
        return self._tally.take()

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def _find_answer(self, completion: str) -> tuple[str | None, Outcome]:
        """(text of the answer, its place)."""
        text, outcome = marked_or_boxed(completion, self._mark)
        if text is None:
            text, outcome = math_text.answer_in_prose(until_next_question(completion)), "formula"
        text = math_text.without_emphasis(text)
        is_answer = text.strip() and len(text) <= MAX_CHARACTERS and math_text.depth(text) <= MAX_DEPTH
        return (text, outcome) if is_answer else (None, "no answer")

    def _verdicts(self, pairs: list[Pair]) -> dict[Pair, Verdict]:
        """{pair: whether its two texts are equal, or the outcome if the worker ended}."""
        verdicts: dict[Pair, Verdict] = {}
        for answer, expected in pairs:
            are_equal = math_text.equal_as_texts(answer, expected)
            if are_equal is not None:
                verdicts[answer, expected] = are_equal
        return verdicts | self._pool.verdicts([pair for pair in pairs if pair not in verdicts])
