"""The reward of a task's responses in text, as TRL and verl call rewards: for trainers other than ours."""

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
    """The named reward of responses in text; 0 for one that the task's vocabulary cannot write.

    A response is taken for finished, as texts do not tell. Of a task of symbols it is so unless it is longer than the
    task's longest form: with max_completion_length = long_length + 1 that is exactly the one which was cut off.
    """

    __name__ = "answer"

    def __init__(self, task: dict[str, Any], reward: str = "end_to_end") -> None:
        """task: its settings, as a recipe has them; ValueError if there is no such reward."""
        REWARDS.find(reward)
        made = registry.make(registry.settings_class(task["name"])(**task))
        self.judge: _OfText | _OfSymbols = _OfText(made) if isinstance(made, TextTask) else _OfSymbols(made)
        self.reward = reward

    def __call__(
        self,
        prompts: Sequence[Text],
        completions: Sequence[Text],
        answer: Sequence[str] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Rewards of completions: TRL's form of a reward function; answer: the column, which tasks of text need."""
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
        """The reward of one response: verl's form; the prompt of a task of symbols stands in `extra_info`."""
        prompt = (extra_info or {}).get("prompt")
        if prompt is None and isinstance(self.judge, _OfSymbols):
            raise ValueError("compute_score: extra_info has no prompt, which tells the answer of a task of symbols")
        return self._scores([prompt or ""], [solution_str], [ground_truth])[0]

    def _scores(self, prompts: list[str], responses: list[str], answers: Sequence[str]) -> list[float]:
        verdicts = self.judge.verdicts(prompts, responses, answers)
        return [0.0 if verdict is None else float(score(verdict, self.reward)) for verdict in verdicts]


class _OfSymbols:
    """The verdicts of a task of symbols, whose prompt tells the answer."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def verdicts(self, prompts: list[str], responses: list[str], answers: Sequence[str]) -> list[Verdict | None]:
        """A verdict on each response; None for one that the vocabulary cannot write, or that is too long."""
        return [self._verdict(*pair) for pair in zip(prompts, responses, strict=True)]

    def _verdict(self, prompt: str, text: str) -> Verdict | None:
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


class _OfText:
    """The verdicts of a task of text, by its grader."""

    def __init__(self, task: TextTask) -> None:
        self.template, self.grader = task.settings.template, task.new_grader()

    def verdicts(self, prompts: list[str], responses: list[str], answers: Sequence[str]) -> list[Verdict | None]:
        """A verdict on each response; its length is in words, as there is no tokenizer."""
        grades = self.grader.grade_all(responses, answers)
        return [
            as_verdict([grade.is_right], [is_long(text, self.template)], [True], [len(text.split())])
            for grade, text in zip(grades, responses, strict=True)
        ]
