"""Floating-point operations of a part of a stage, and the GPU-hours that they come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

GPU_FLOPS = 312e12
"""An A100's dense bfloat16 rate, by its data sheet."""


@dataclass(frozen=True)
class NumTokens:
    """How many tokens a stage is expected to process."""

    trained: float
    """Prompt and output tokens that go through a pass forward and backward."""
    generated: float = 0.0
    """Output tokens that are sampled."""
    prompts: float = 0.0
    """Prompt tokens of what is sampled."""

    @property
    def processed(self) -> float:
        """As a run counts them: sampled with their prompts, and trained."""
        return self.trained + self.generated + self.prompts


@dataclass(frozen=True)
class Work:
    """A part of a stage."""

    TRAIN_SHARE: ClassVar[float] = 0.35
    """Of the GPU's rate: what well-kept trainers reach."""
    GENERATE_SHARE: ClassVar[float] = 0.05
    """Of the same: what batched decoding reaches."""

    part: str
    """What the stage does there; empty where that is all it does."""
    tokens: float
    per_token: int
    """Operations a parameter and token."""
    is_training: bool = True

    def hours(self, parameters: int) -> float:
        """GPU-hours for a model of so many parameters."""
        share = self.TRAIN_SHARE if self.is_training else self.GENERATE_SHARE
        return self.operations(parameters) / (GPU_FLOPS * share) / 3600

    def operations(self, parameters: int) -> float:
        """Floating-point operations."""
        return self.per_token * parameters * self.tokens

    def line(self, stage: str, parameters: int) -> str:
        """The work as a line of the dry run."""
        name = f"{stage}, {self.part}" if self.part else stage
        formula = f"{self.per_token} x {parameters:.3g} x {self.tokens:.3g}"
        operations, hours = self.operations(parameters), self.hours(parameters)
        return f"{name}: {self.tokens:.3g} tokens, {formula} = {operations:.2g} operations, {hours:.2g} GPU-hours"
