"""One line of a claim: what theory says, what the seeds gave, and whether the two agree within a stated tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chainlift.measure.statistics import Interval, mean_interval


@dataclass(frozen=True)
class Finding:
    """A quantity under one setting, with one value a seed."""

    quantity: str
    setting: str
    """Such as `p_cot .25`; empty where the quantity is of the whole claim."""
    values: tuple[float, ...]
    """One a seed."""
    predicted: float | None = None
    """None where nothing is predicted: the line is then a measurement and no check."""
    tolerance: float = 0.0
    """The largest |value - predicted| that is allowed of what `check` names."""
    check: Literal["each", "mean", "interval", "at_least"] = "each"
    """Every seed, the mean over seeds, whether the mean's 95 % interval holds the prediction, which is missed by chance
    once in twenty lines, or whether every seed has at least what is predicted."""
    note: str = ""
    x: float | None = None
    """Where the line stands on a figure's axis; None leaves it out."""
    axis: str = "p_cot"
    """What that axis is."""
    geometric: bool = False
    """Mean and interval are those of the logarithms: for counts that differ by factors."""
    series: str = ""
    """Which of a figure's curves it belongs to."""
    share: bool = False
    """The values are shares: the interval is cut to [0, 1]."""

    @property
    def mean(self) -> float:
        """Mean over seeds, the geometric one where the finding says so."""
        return float(np.exp(np.mean(np.log(self.values))) if self.geometric else np.mean(self.values))

    @property
    def ci95(self) -> Interval:
        """Student's t interval of the mean over seeds; infinite with one seed, or where a value is not finite."""
        if len(self.values) < 2 or not np.isfinite(self.values).all():
            return -math.inf, math.inf
        if not self.geometric:
            return mean_interval(self.values, bounds=(0.0, 1.0) if self.share else (-math.inf, math.inf))
        low, high = mean_interval(np.log(self.values))
        return math.exp(low), math.exp(high)

    @property
    def worst(self) -> float | None:
        """The largest distance of a seed's value from the prediction."""
        return None if self.predicted is None else float(np.abs(np.subtract(self.values, self.predicted)).max())

    @property
    def holds(self) -> bool | None:
        """Whether the tolerance is kept; None where nothing is predicted. A value that is not finite fails."""
        if self.predicted is None or self.worst is None:
            return None
        if self.check == "at_least":
            return bool(np.isfinite(self.values).all() and min(self.values) >= self.predicted)
        if self.check == "interval":
            return bool(self.ci95[0] <= self.predicted <= self.ci95[1])
        return bool((self.worst if self.check == "each" else abs(self.mean - self.predicted)) <= self.tolerance)


def verdict(findings: Sequence[Finding]) -> str:
    """`holds`, or `fails` with the number of lines that do; `measured` where nothing was predicted."""
    judged = [finding.holds for finding in findings if finding.holds is not None]
    if not judged:
        return "measured"
    return "holds" if all(judged) else f"fails in {judged.count(False)} of {len(judged)} lines"
