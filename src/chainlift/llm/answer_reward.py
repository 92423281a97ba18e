"""The reward of a language model's answers, as TRL and verl call rewards: for trainers outside a run of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainlift.llm.graders import GraderName, grader
from chainlift.llm.templates import Text, content


class AnswerReward:
    """1 for a right answer, else 0, by the grader of a name.

    A response that was cut off behind a right answer counts as right, as texts do not tell; a run's own reward knows.
    """

    __name__ = "answer"

    def __init__(self, grader_name: GraderName, answer_mark: str) -> None:
        self.grader = grader(grader_name, answer_mark)

    def __call__(
        self, prompts: Sequence[Text], completions: Sequence[Text], answer: Sequence[str], **columns: Any
    ) -> list[float]:
        """Rewards of completions, given the data set's column `answer`: TRL's form of a reward function."""
        grades = self.grader.grade_all([content(one) for one in completions], answer)
        return [float(grade.is_right) for grade in grades]

    def compute_score(
        self, data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **more: Any
    ) -> float:
        """The reward of one response: verl's form."""
        return float(self.grader.grade_all([solution_str], [ground_truth])[0].is_right)
