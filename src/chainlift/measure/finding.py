"""A line of a claim: a prediction, the values of the seeds, and whether they agree within a stated tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chainlift.measure.statistics import Interval, mean_interval


@dataclass(frozen=True)
class Finding:
    """A quantity under one setting, with one value for each seed."""

    quantity: str
    setting: str
    """The setting, such as `p_cot .25`; empty for a quantity of the whole claim."""
    values: tuple[float, ...]
    """One value for each seed."""
    predicted: float | None = None
    """The prediction; None if there is none, and the line is a measurement without a check."""
    tolerance: float = 0.0
    """The largest allowed |value - predicted|, for the values that `check` names."""
    check: Literal["each", "mean", "interval", "at_least"] = "each"
    """The check: each seed is within the tolerance, or the mean over seeds is; the mean's 95 % interval contains the
    prediction, which fails by chance in one line of twenty; or every seed has at least the predicted value."""
    note: str = ""
    x: float | None = None
    """The line's position on a figure's axis; None leaves it out of the figure."""
    axis: str = "p_cot"
    """Name of that axis."""
    geometric: bool = False
    """Whether mean and interval are computed from logarithms, for counts that differ by factors."""
    series: str = ""
    """The curve of a figure to which the line belongs."""
    share: bool = False
    """Whether the values are shares, so that the interval is cut to [0, 1]."""

    @property
    def mean(self) -> float:
        """Mean over seeds, or geometric mean if `geometric`."""
        return float(np.exp(np.mean(np.log(self.values))) if self.geometric else np.mean(self.values))

    @property
    def ci95(self) -> Interval:
        """Student's t interval of the mean over seeds; infinite with one seed, or if a value is not finite."""
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
        """Whether the check succeeds; None without a prediction. A value that is not finite fails."""
        if self.predicted is None or self.worst is None:
            return None
        if self.check == "at_least":
            return bool(np.isfinite(self.values).all() and min(self.values) >= self.predicted)
        if self.check == "interval":
            return bool(self.ci95[0] <= self.predicted <= self.ci95[1])
        return bool((self.worst if self.check == "each" else abs(self.mean - self.predicted)) <= self.tolerance)


def verdict(findings: Sequence[Finding]) -> str:
    """`holds`, or `fails` with the number of lines that fail; `measured` if nothing was predicted."""
    judged = [finding.holds for finding in findings if finding.holds is not None]
    if not judged:
        return "measured"
    return "holds" if all(judged) else f"fails in {judged.count(False)} of {len(judged)} lines"
