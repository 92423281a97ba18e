"""Running sums modulo K; parity is K = 2.

Prompt x_1..x_d, digits uniform in {0..K-1}. Long form: y_1..y_d <eos> with y_l = x_1 + .. + x_l mod K, so the first
token of a chain is x_1. Short form: y_d <eos>. Source, for K = 2: Tsilivis et al., arXiv 2510.11495. The options of
chains are those of prefix_chain.py.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from chainlift.tasks.prefix_chain import PrefixChain, PrefixChainSettings
from chainlift.tasks.registry import TASKS, TaskKind


class RunningSumSettings(PrefixChainSettings):
    """Settings of running_sum: the modulus."""

    name: Literal["running_sum"] = "running_sum"
    modulus: int = Field(default=2, ge=2, le=1000)
    """K: digits and sums are integers modulo K; 2 is parity."""


class RunningSum(PrefixChain):
    """Integers modulo K under addition."""

    def __init__(self, settings: RunningSumSettings) -> None:
        super().__init__(settings, tuple(map(str, range(settings.modulus))))
        self.settings = settings
        self.modulus = settings.modulus

    def running(self, elements: Tensor) -> Tensor:
        """Running sums (N, S)."""
        return elements.cumsum(dim=1) % self.modulus

    def times(self, before: Tensor, element: Tensor) -> Tensor:
        """The sum `before` + `element`."""
        return (before + element) % self.modulus

    def between(self, before: Tensor, after: Tensor) -> Tensor:
        """The difference `after` - `before`."""
        return (after - before) % self.modulus


TASKS.register("running_sum", TaskKind(RunningSumSettings, RunningSum), shipped=True)
