"""How our time grows with each size: a few values of one size at a time, and the exponent of a power law through them.

The interval is Student's for the slope of the least-squares line through the logarithms, from its residuals: it is
wide where no power law holds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainlift.bench import sizes, teacher_forced
from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine
from chainlift.bench.timing import Action, Case, Comparison, Done, clocked
from chainlift.measure.statistics import power_law, t_quantile
from chainlift.stages.recipe import Recipe

STAGE_1 = "a sequence of stage 1"
SAMPLE = "a sample of an RL update, every one learned from"
ROWS = 32
PROMPTS = 8
AXES: dict[str, tuple[str, tuple[float, ...]]] = {
    "task.d": (STAGE_1, (25, 50, 100, 200)),
    "model.width": (STAGE_1, (64, 128, 256, 512)),
    "model.layers": (STAGE_1, (1, 2, 4, 8)),
    "mixture.p_cot": (STAGE_1, (0.125, 0.25, 0.5, 1.0)),
    "posttrain.group_size": (SAMPLE, (2, 4, 8, 16)),
}


@dataclass(frozen=True)
class Growth:
    """Times at several values of one size."""

    axis: str
    quantity: str
    values: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> tuple[float, float, float]:
        """(b, low, high) of time = a value^b, with its 95 % interval."""
        return fitted(self.values, self.seconds)

    @property
    def line(self) -> str:
        """The exponent, and of what, for people."""
        return f"{self.quantity}: grows with {self.axis} to the power of {self.told}"

    @property
    def told(self) -> str:
        """The exponent for people."""
        b, low, high = self.exponent
        return f"{b:.2f} [{low:.2f}, {high:.2f}]"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        b, *interval = self.exponent
        told = {"axis": self.axis, "quantity": self.quantity, "values": self.values, "seconds": self.seconds}
        return {**told, "exponent": b, "exponent_ci95": interval}


def fitted(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """(b, low, high) of y = a x^b through three points or more, x and y above 0."""
    b = power_law(x, y)
    logs, targets = np.log(np.asarray(x)), np.log(np.asarray(y))
    centred = logs - logs.mean()
    residuals = targets - targets.mean() - b * centred
    freedom = len(logs) - 2
    error = math.sqrt(float(residuals @ residuals) / freedom / float(centred @ centred))
    half = t_quantile(freedom) * error
    return b, b - half, b + half


def grown(comparison: Comparison, done: Sequence[Sequence[Done]]) -> Growth:
    """Seconds a sequence in each case of a comparison of `comparison`, from its repetitions."""
    seconds = tuple(statistics.median(one.seconds / one.work.sequences for one in own) for own in done)
    axis, values = comparison.state, AXES[comparison.state][1]
    return Growth(axis, f"{comparison.action}, {comparison.dtype}", values, seconds)


def comparison(recipe: Recipe, axis: str, machine: Machine) -> Comparison:
    """A case for each value of the axis; ValueError if the recipe lacks it."""
    quantity, values = AXES[axis]
    cases = []
    for value in values:
        if axis == "model.width":
            changed = sizes.sized(recipe, rows=ROWS, width=int(value))
        else:
            changed = sizes.sized(recipe, rows=ROWS, changes=(f"{axis}={value:g}",))
        if quantity == STAGE_1:
            cases.append(sizes.ours(changed, machine, f"{value:g}"))
        else:
            cases.append(Case(f"{value:g}", "ours", sizes.with_new(changed, _learn(changed, machine, int(value)))))
    return Comparison(quantity, axis, machine.dtype, cases)


def _learn(recipe: Recipe, machine: Machine, group_size: int) -> sizes.Make:
    def make(folder: Path) -> Action:
        return clocked(machine, teacher_forced.update(Engine(recipe, folder, machine), PROMPTS, group_size))

    return make
