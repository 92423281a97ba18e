"""The reward of a task's responses in text, with the call signatures of TRL and verl, for other trainers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from chainlift.learning.reward import REWARDS, score
from chainlift.tasks import registry
from chainlift.tasks.base import EOS, Task, Verdict
from chainlift.text.task import TextTask
from chainlift.text.templates import Text, content, is_long
from chainlift.text.verdict import as_verdict


class TextReward:
    """A named reward of responses in text; 0 for a response with tokens outside the task's vocabulary.

    A text does not show whether the response ended with EOS, so it counts as finished. For a task of symbols, a
    response that is longer than the task's long form counts as unfinished: with max_completion_length = long_length + 1
    these are exactly the ones that were cut off.
    """

    __name__ = "answer"

    def __init__(self, task: dict[str, Any], reward: str = "end_to_end") -> None:
        """Make the task from its settings in a recipe, and find the reward; ValueError for an unknown reward."""
        REWARDS.find(reward)
        built = registry.make(registry.settings_class(task["name"])(**task))
        self.judge = _TextJudge(built) if isinstance(built, TextTask) else _SymbolJudge(built)
        self.reward = reward

    def __call__(
        self,
        prompts: Sequence[Text],
        completions: Sequence[Text],
        answer: Sequence[str] | None = None,
        **columns: Any,
    ) -> list[float]:
        """The rewards of completions, called as TRL does; answer: the data set's column, which tasks of text need."""
        answers = answer or [""] * len(prompts)
        return self._scores([content(prompt) for prompt in prompts], [content(text) for text in completions], answers)

    def compute_score(
        self,
        data_source: str,
        solution_str: str,
        ground_truth: str,
        extra_info: dict[str, Any] | None = None,
        **more: Any,
    ) -> float:
        """The reward of one response, called as verl does; a task of symbols needs the prompt in `extra_info`."""
        prompt = (extra_info or {}).get("prompt")
        if prompt is None and isinstance(self.judge, _SymbolJudge):
            raise ValueError("compute_score: extra_info has no prompt, which a task of symbols needs for its answer")
        return self._scores([prompt or ""], [solution_str], [ground_truth])[0]

    def _scores(self, prompts: list[str], responses: list[str], answers: Sequence[str]) -> list[float]:
        verdicts = self.judge.verdicts(prompts, responses, answers)
        return [0.0 if verdict is None else float(score(verdict, self.reward)) for verdict in verdicts]


class _SymbolJudge:
    """Verdicts by a task of symbols, which computes the answer from the prompt."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def verdicts(self, prompts: list[str], responses: list[str], answers: Sequence[str]) -> list[Verdict | None]:
        """A verdict on each response; None for a response with unknown tokens, or one that is too long."""
        return [self._verdict(*pair) for pair in zip(prompts, responses, strict=True)]

    def _verdict(self, prompt: str, text: str) -> Verdict | None:
        """The verdict on one response; None for unknown tokens or too many."""
        vocabulary = self.task.vocabulary
        tokens = vocabulary.encode(prompt)
        try:
            response = vocabulary.encode(text.removesuffix(EOS))
        except ValueError:
            return None
        if len(response) > self.task.long_length:
            return None
        response = torch.cat([response, torch.tensor([vocabulary.eos])])
        return self.task.verify(tokens[None], response[None])


class _TextJudge:
    """Verdicts by the grader of a task of text."""

    def __init__(self, task: TextTask) -> None:
        self.template, self.grader = task.settings.template, task.new_grader()

    def verdicts(self, prompts: list[str], responses: list[str], answers: Sequence[str]) -> list[Verdict | None]:
        """A verdict on each response, with its length in words, as there is no tokenizer."""
        grades = self.grader.grade_all(responses, answers)
        return [
            as_verdict([grade.is_right], [is_long(text, self.template)], [True], [len(text.split())])
            for grade, text in zip(grades, responses, strict=True)
        ]
