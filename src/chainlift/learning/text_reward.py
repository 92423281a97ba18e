"""The reward of a small task's responses in text, as TRL and verl call rewards: for trainers other than ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from chainlift.learning.reward import REWARDS, score
from chainlift.tasks import registry
from chainlift.tasks.base import EOS

Message = dict[str, str]


class TextReward:
    """The named reward of responses in text; 0 for one that the task's vocabulary cannot write.

    A response is taken for finished, as texts do not tell, unless it is longer than the task's longest form: with
    max_completion_length = long_length + 1 that is exactly the one which was cut off.
    """

    __name__ = "answer"

    def __init__(self, task: dict[str, Any], reward: str = "end_to_end") -> None:
        """task: its settings, as a recipe has them; ValueError if there is no such reward."""
        REWARDS.find(reward)
        self.task = registry.build(registry.settings_class(task["name"])(**task))
        self.reward = reward

    def __call__(
        self, prompts: Sequence[str | list[Message]], completions: Sequence[str | list[Message]], **columns: Any
    ) -> list[float]:
        """Rewards of completions: TRL's form of a reward function."""
        return [
            self._score(_content(prompt), _content(completion))
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    def compute_score(
        self, data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **more: Any
    ) -> float:
        """The reward of one response: verl's form; the prompt stands in `extra_info`."""
        return self._score(extra_info["prompt"], solution_str)

    def _score(self, prompt: str, completion: str) -> float:
        vocabulary = self.task.vocabulary
        asked = vocabulary.encode(prompt)
        try:
            response = vocabulary.encode(completion.removesuffix(EOS))
        except ValueError:
            return 0.0
        if len(response) > self.task.long_length:
            return 0.0
        response = torch.cat([response, torch.tensor([vocabulary.eos])])
        return float(score(self.task.verify(asked[None], response[None]), self.reward))


def _content(text: str | list[Message]) -> str:
    """A text, or that of the last message."""
    return text if isinstance(text, str) else text[-1]["content"]
