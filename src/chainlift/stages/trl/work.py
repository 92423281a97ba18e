"""Floating-point operations of a part of a stage, and their GPU-hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

GPU_FLOPS = 312e12
"""An A100's dense bfloat16 rate, by its data sheet."""


@dataclass(frozen=True)
class NumTokens:
    """Expected numbers of tokens of a stage."""

    trained: float
    """Prompt and output tokens of forward and backward passes."""
    generated: float = 0.0
    """Sampled output tokens."""
    prompts: float = 0.0
    """Prompt tokens of the samples."""

    @property
    def processed(self) -> float:
        """Tokens as a run counts them: sampled with their prompts, and trained."""
        return self.trained + self.generated + self.prompts


@dataclass(frozen=True)
class Work:
    """The work of a part of a stage."""

    TRAIN_SHARE: ClassVar[float] = 0.35
    """Share of the GPU's rate that good trainers reach."""
    GENERATE_SHARE: ClassVar[float] = 0.05
    """Share of the GPU's rate that batched decoding reaches."""

    part: str
    """Name of the part; empty if it is the whole stage."""
    tokens: float
    per_token: int
    """Operations per parameter and token."""
    is_training: bool = True

    def hours(self, parameters: int) -> float:
        """GPU-hours for a model with this many parameters."""
        share = self.TRAIN_SHARE if self.is_training else self.GENERATE_SHARE
        return self.operations(parameters) / (GPU_FLOPS * share) / 3600

    def operations(self, parameters: int) -> float:
        """Floating-point operations for a model with this many parameters."""
        return self.per_token * parameters * self.tokens

    def line(self, stage: str, parameters: int) -> str:
        """The work as a line of the dry run."""
        name = f"{stage}, {self.part}" if self.part else stage
        formula = f"{self.per_token} x {parameters:.3g} x {self.tokens:.3g}"
        operations, hours = self.operations(parameters), self.hours(parameters)
        return f"{name}: {self.tokens:.3g} tokens, {formula} = {operations:.2g} operations, {hours:.2g} GPU-hours"
