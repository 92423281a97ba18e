"""Estimates of the p_cot at which greedy decoding flips from short to long: from log-odds, and from flips.

The log-odds of a run say more than whether it flipped. At the least loss, the log-odds of going on are
log K + log(p / (1 - p)) (theory/linear_model.go_on_log_odds): a line in log(p / (1 - p)), and the threshold is where it
crosses zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainlift.measure.statistics import Interval
from chainlift.theory.closed_forms import sigmoid

RIDGE = 1e-6
"""Penalty on the slope. If there is a gap between the last short and the first long run, it keeps the fit finite and
puts the crossing in the middle of the gap."""


@dataclass(frozen=True)
class LogOddsLine:
    """Log-odds as a line in log(p / (1 - p))."""

    slope: float
    offset: float

    def at(self, p: ArrayLike) -> NDArray[np.float64]:
        """Log-odds (N,) at p (N,)."""
        return self.slope * _logit(p) + self.offset

    @property
    def crossing(self) -> float:
        """The p at which the log-odds are zero."""
        return sigmoid(-self.offset / self.slope)


def log_odds_line(p: ArrayLike, log_odds: ArrayLike) -> LogOddsLine:
    """The least-squares line through log-odds (N,) of going on at p (N,).

    ValueError for fewer than two different p, or for a line that does not rise.
    """
    x, y = _logit(p), np.asarray(log_odds, dtype=float)
    if len(np.unique(x)) < 2:
        raise ValueError("a crossing needs at least two different values of p_cot")
    slope, offset = np.polyfit(x, y, 1)
    if not slope > 0:
        raise ValueError("the log-odds of going on do not rise with p_cot: there is no crossing")
    return LogOddsLine(float(slope), float(offset))


def log_odds_crossing(p: ArrayLike, log_odds: ArrayLike) -> float:
    """The p at which log-odds (N,) of going on cross zero; ValueError as for log_odds_line."""
    return log_odds_line(p, log_odds).crossing


def flip_crossing(p: ArrayLike, long: ArrayLike) -> float:
    """The p at which a logistic fit over p (N,) gives greedy responses an even chance to be long, `long` (N,) 0 or 1.

    The fit is maximum likelihood with a tiny ridge: the root of the gradient. It is nan if all runs agree, because
    nothing flips then.
    """
    from scipy.optimize import root
    from scipy.special import expit

    x, y = np.asarray(p, dtype=float), np.asarray(long, dtype=float)
    if y.min() == y.max():
        return float("nan")
    center, scale = x.mean(), x.std()
    features = np.stack([np.ones_like(x), (x - center) / scale], axis=1)
    penalty = np.diag([0.0, RIDGE])

    def gradient(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return features.T @ (expit(features @ weights) - y) + penalty @ weights

    def hessian(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        chance = expit(features @ weights)
        return (features * (chance * (1 - chance))[:, None]).T @ features + penalty

    offset, slope = root(gradient, np.zeros(2), jac=hessian, tol=1e-14).x
    return float(center - scale * offset / slope)


def flip_interval(
    p: NDArray[np.float64],
    long: NDArray[np.float64],
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """Percentile bootstrap interval of flip_crossing over seeds: long (seeds, N) at the same p (N,), whole seeds drawn.

    It has no width if all seeds flip in the same gap; the grid's spacing is the resolution then. It is nan if nothing
    flips.
    """
    seeds = len(long)
    draws = generator.integers(seeds, size=(resamples, seeds))
    crossings = [flip_crossing(np.tile(p, seeds), long[chosen].ravel()) for chosen in draws]
    if np.isnan(crossings).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(crossings, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _logit(p: ArrayLike) -> NDArray[np.float64]:
    """Log-odds log(p / (1 - p)) of p (N,)."""
    value = np.asarray(p, dtype=float)
    return np.log(value) - np.log1p(-value)
