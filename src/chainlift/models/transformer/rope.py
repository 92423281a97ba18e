"""Frequencies of rotary positions for any base, and how Llama lowers them for longer contexts."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from chainlift.settings import Settings


class RopeScaling(Settings):
    """Lower rotary frequencies, for contexts longer than those of the model's first training."""

    type: Literal["linear", "llama3"]
    """linear: all frequencies are divided by `factor`; llama3: low ones are, high ones stay, with a ramp between."""
    factor: float = Field(ge=1)
    """What frequencies are divided by."""
    low_cycles: float = Field(default=1.0, gt=0)
    """llama3: a frequency with fewer cycles in `original_context` is low."""
    high_cycles: float = Field(default=4.0, gt=0)
    """llama3: a frequency with more cycles in `original_context` is high."""
    original_context: int = Field(default=8192, ge=1)
    """llama3: tokens of the contexts of the first training."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> RopeScaling:
        if self.low_cycles >= self.high_cycles:
            raise ValueError(f"low_cycles {self.low_cycles} must be below high_cycles {self.high_cycles}")
        return self

    def lower(self, frequency: Tensor) -> Tensor:
        """The frequencies (E / 2,) after scaling."""
        if self.type == "linear":
            return frequency / self.factor
        cycles = self.original_context * frequency / (2 * math.pi)
        kept = ((cycles - self.low_cycles) / (self.high_cycles - self.low_cycles)).clamp(0, 1)
        return (1 - kept) * frequency / self.factor + kept * frequency


def frequencies(head_width: int, base: float, scaling: RopeScaling | None, device: torch.device) -> Tensor:
    """The frequencies (E / 2,) of heads of width E, in float32, as transformers rounds them."""
    frequency = 1.0 / base ** (torch.arange(0, head_width, 2, device=device).float() / head_width)
    return frequency if scaling is None else scaling.lower(frequency)
