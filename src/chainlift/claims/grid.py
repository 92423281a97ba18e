"""The recipes of a claim's runs: grids over settings and seeds, and smaller ones for a quick look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chainlift.claims.finished import cross
from chainlift.stages.recipe import Recipe

Settings = Mapping[str, Sequence[object]]
"""{dotted key: values}."""

QUICK_SUMS = (
    "model.family=mistral", "model.width=64", "pretrain.batch_size=128", "pretrain.optimizer=muon", "pretrain.lr=3e-3",
    "pretrain.warmup=5", "pretrain.schedule=linear", "pretrain.stable_fraction=0.2", "pretrain.average_tail=1",
    "pretrain.average_window=15",
)  # fmt: skip
"""Next-token prediction of sums at quick size: chains of 10 to 12 digits are exact after 150 to 250 steps."""


class Runs(Protocol):
    """A function that returns the recipes of a claim's runs."""

    def __call__(self, seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
        """The recipes for these seeds; quick: smaller ones of the same shape."""
        ...


@dataclass(frozen=True)
class Grid:
    """A source recipe over every combination of settings."""

    source: str
    settings: Settings = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    """Overrides of all runs."""
    quick: tuple[str, ...] | None = ()
    """Further overrides of the smaller runs; None: the grid has no smaller runs."""
    quick_settings: Settings | None = None
    """Settings of the smaller runs; None: those of the grid."""

    def __call__(self, seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
        """The recipes for these seeds; quick: the smaller ones."""
        if not quick:
            return cross(self.source, self.settings, seeds, *self.fixed)
        if self.quick is None:
            return []
        settings = self.settings if self.quick_settings is None else self.quick_settings
        return cross(self.source, settings, seeds, *self.fixed, *self.quick)


def each_of(*grids: Runs) -> Runs:
    """The recipes of several grids, one grid after the other."""
    return lambda seeds, quick=False: [recipe for grid in grids for recipe in grid(seeds, quick)]
