"""The base of RL stages, of symbols and of text: rounds of samples, with updates from each."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field, ValidationInfo, field_validator

from chainlift.learning.reward import REWARDS
from chainlift.runs.checkpoint import TrainerState
from chainlift.stages.stage import Stage


class Rounds(Stage):
    """A stage with rounds of sampling, rewards and updates."""

    reward: str = "end_to_end"
    """A reward of learning/reward.py, `end_to_end` (the answer is right) for example, or your own: `module:name`."""
    prompts: int = Field(default=32, ge=1)
    """P: prompts of a round."""
    group_size: int = Field(default=8, ge=1)
    """G: samples per prompt."""
    steps: int = Field(default=40, ge=1)
    """Optimizer updates in all."""
    temperature: float = Field(default=1.0, ge=1e-6, le=1e9)
    """Temperature of sampling and of scoring."""
    kl: float = Field(default=0.0, ge=0)
    """Coefficient of KL(policy || start model)."""
    restart: bool = False
    """Fit every round's samples from the start model, as in the STaR of Zelikman et al.; the last fit samples them."""

    @field_validator("reward")
    @classmethod
    def _reward_is_known(cls, value: str, info: ValidationInfo) -> str:
        REWARDS.find(value, info.context)
        return value

    @property
    @abstractmethod
    def steps_a_round(self) -> int:
        """Updates from one round's samples."""

    @property
    def rollouts(self) -> int:
        """Samples of a round."""
        return self.prompts * self.group_size

    @property
    def num_rounds(self) -> int:
        """Rounds of sampling."""
        return -(-self.steps // self.steps_a_round)

    @property
    def total_steps(self) -> int | None:
        """Updates of the stage."""
        return self.steps

    def can_stop(self, step: int) -> bool:
        """Whether the step is the end of a round."""
        return step % self.steps_a_round == 0 or step == self.steps

    def prompts_drawn(self, state: TrainerState) -> int:
        """Number of prompts drawn, one for each group of samples."""
        return state.sequences // self.group_size
