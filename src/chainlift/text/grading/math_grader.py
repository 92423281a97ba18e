"""Answers that are formulas, judged by their texts where these tell and else by math-verify in worker processes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from chainlift.text.grading import math_text
from chainlift.text.grading.answer_place import marked_or_boxed, until_next_question
from chainlift.text.grading.grade import Grade, How, Tally
from chainlift.text.grading.math_pool import MathPool, Pair, Verdict

SECONDS = 5.0  # for one formula; honest ones take a few milliseconds
LONGEST = 2000  # characters of an answer; a longer one is none
DEEPEST = 40  # brackets within each other; parsers take minutes, or their stack ends


class MathGrader:
    """Right is what is written the same, or what math-verify calls equal.

    The answer follows the first answer mark, or is in the last box, or in the last line with a formula.
    """

    def __init__(self, answer_mark: str, *, seconds: float = SECONDS) -> None:
        """seconds: of one verdict; then its worker is killed."""
        if importlib.util.find_spec("math_verify") is None:
            raise ValueError("task.grader=math needs math_verify: pip install 'chainlift[llm]'")
        self._mark = answer_mark
        self._pool = MathPool(seconds)
        self._tally = Tally()

    def grade_all(self, completions: Sequence[str], answers: Sequence[str]) -> list[Grade]:
        """A grade for each completion, in their order; what occurs twice is judged once."""
        found = [self._found(text) for text in completions]
        pairs = {(text, answer) for (text, _), answer in zip(found, answers, strict=True) if text is not None}
        verdicts = self._verdicts(sorted(pairs))
        grades = []
        for (text, how), answer in zip(found, answers, strict=True):
            verdict = False if text is None else verdicts[text, answer]
            grades.append(Grade(verdict, how) if isinstance(verdict, bool) else Grade(False, verdict))
        return self._tally.add(grades)

    def counts(self) -> dict[str, int]:
        """Counts since the last call."""
        return self._tally.take()

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def _found(self, completion: str) -> tuple[str | None, How]:
        """(the answer's text, where it stood)."""
        text, how = marked_or_boxed(completion, self._mark)
        if text is None:
            text, how = math_text.of_prose(until_next_question(completion)), "formula"
        is_one = text.strip() and len(text) <= LONGEST and math_text.depth(text) <= DEEPEST
        return (text, how) if is_one else (None, "no answer")

    def _verdicts(self, pairs: list[Pair]) -> dict[Pair, Verdict]:
        """For each pair of texts whether they are equal, or what became of the worker."""
        verdicts: dict[Pair, Verdict] = {}
        for answer, expected in pairs:
            decided = math_text.decided(answer, expected)
            if decided is not None:
                verdicts[answer, expected] = decided
        return verdicts | self._pool.verdicts([pair for pair in pairs if pair not in verdicts])
