"""How our time grows with each size: a few values of one size at a time, and the exponent of a power law through them.

The interval is Student's for the slope of the least-squares line through the logarithms, from its residuals: it is
wide where no power law holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainlift.bench import teacher_forced
from chainlift.bench.grid import sized
from chainlift.bench.ours import Engine
from chainlift.bench.states import untrained
from chainlift.bench.timing import Case, Comparison, clocked
from chainlift.measure.statistics import power_law, t_quantile
from chainlift.recipe import Recipe

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


def comparison(recipe: Recipe, axis: str, dtype: str, folder: Path) -> tuple[Comparison, list[int]]:
    """(a case for each value of the axis, how many sequences a repetition of each has); models go into `folder`."""
    quantity, values = AXES[axis]
    cases, sequences = [], []
    for value in values:
        changes = [f"{axis}={value:g}", f"pretrain.batch_size={ROWS}"]
        if axis == "model.width":
            changes.append(f"model.heads={max(int(value) // 32, 1)}")
        changed = sized(recipe, *changes)
        own = folder / f"{axis}-{value:g}"
        own.mkdir()
        untrained(changed, own)
        cases.append(Case(f"{value:g}", "ours", _maker(changed, own, dtype, quantity, value)))
        sequences.append(ROWS if quantity == STAGE_1 else PROMPTS * int(value))
    return Comparison(quantity, axis, dtype, cases), sequences


def _maker(recipe: Recipe, folder: Path, dtype: str, quantity: str, value: float) -> Any:
    def make() -> Any:
        engine = Engine(recipe, folder, dtype)
        if quantity == STAGE_1:
            return clocked(engine.stage_1())
        return clocked(teacher_forced.update(engine, PROMPTS, int(value)))

    return make
