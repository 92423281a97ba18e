"""Intervals, and the unbiased estimate of pass@k.

A share of n independent prompts has Wilson's interval, a mean over seeds has Student's t interval. Both are two-sided.
An interval covers only what varies in its sample: over prompts it holds for one trained model, over seeds for a recipe.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Interval = tuple[float, float]


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a binomial share, inside [0, 1]; (0, 1) for n = 0.

    It contains the shares s with |successes/n - s| <= z sqrt(s (1 - s) / n). So it contains the estimate and, unlike
    the normal interval, has a positive width at 0 and at n successes. Source: Wilson 1927, JASA 22, 209-212.
    """
    _check_level(level)
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes}; allowed: 0 to n = {n}")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    z = NormalDist().inv_cdf((1 + level) / 2)
    shrink = 1 + z * z / n
    center = (share + z * z / (2 * n)) / shrink
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / shrink
    # At 0 and at n successes one end is exactly the estimate; rounding may leave it on the wrong side.
    return max(min(center - half, share), 0.0), min(max(center + half, share), 1.0)


def mean_interval(values: ArrayLike, level: float = 0.95, *, bounds: Interval = (-math.inf, math.inf)) -> Interval:
    """Student's t interval of the mean of values (N,), N >= 2, cut to `bounds`: mean ± t s / sqrt(N), s their std.

    It is meant for means over seeds, and assumes that they are normal. If all values are equal (every seed at accuracy
    1) it has no width, which is a property of the sample and not a certainty. Source: Student 1908, Biometrika 6, 1-25.
    """
    sample = _vector(values, at_least=2)
    mean = float(sample.mean())
    half = t_quantile(len(sample) - 1, level) * float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return max(mean - half, bounds[0]), min(mean + half, bounds[1])


def t_quantile(freedom: int, level: float = 0.95) -> float:
    """The t such that Student's t with `freedom` degrees of freedom lies in [-t, t] with probability `level`.

    It imports scipy lazily, because that is slow and the interval of a share does not need it.
    """
    _check_level(level)
    if freedom < 1:
        raise ValueError(f"freedom is {freedom}; allowed: 1 and more")
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def power_law(x: ArrayLike, y: ArrayLike) -> float:
    """The exponent b of y = a x^b: the slope of the least-squares line through the logarithms of x, y (N,), all > 0."""
    logs = np.log(_vector(x, at_least=2)), np.log(_vector(y, at_least=2))
    return float(np.polyfit(*logs, 1)[0])


def pass_at_k(right: ArrayLike, samples: int, ks: Iterable[int]) -> dict[int, float]:
    """{k: unbiased estimate of the probability that one of k responses is right}, a mean over P prompts.

    right (P,): number of right responses among a prompt's `samples`. The estimate of a prompt with c of n right is
    1 - C(n - c, k) / C(n, k), the share of k-subsets with a right response; it is computed in integers, so exact up to
    one division.
    Source: Chen et al. 2021, arXiv 2107.03374, eq. 1.
    """
    counts, prompts = np.unique(_vector(right, at_least=1), return_counts=True)
    if np.any(counts != np.round(counts)) or counts[0] < 0 or counts[-1] > samples:
        raise ValueError(f"right must hold whole numbers from 0 to samples = {samples}")
    estimates = {}
    for k in ks:
        if not 1 <= k <= samples:
            raise ValueError(f"k is {k}; allowed: 1 to samples = {samples}")
        subsets = math.comb(samples, k)
        each = [(subsets - math.comb(samples - int(c), k)) / subsets for c in counts]
        estimates[k] = float(np.average(each, weights=prompts))
    return estimates


def _vector(values: ArrayLike, *, at_least: int) -> NDArray[np.float64]:
    """The values as a vector (N,); ValueError if there are too few, or one is not finite."""
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or len(vector) < at_least:
        raise ValueError(f"values have the shape {vector.shape}; needed: (N,) with N >= {at_least}")
    if not np.isfinite(vector).all():
        raise ValueError("values must be finite numbers")
    return vector


def _check_level(level: float) -> None:
    """Raise ValueError for a level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; allowed: above 0 and below 1")
