"""Intervals, and the unbiased estimate of pass@k.

A share of n independent prompts gets Wilson's interval, a mean over seeds Student's t.
Each interval is two-sided and says nothing of what does not vary in its sample: one over prompts holds for one trained
model, one over seeds for the recipe.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Interval = tuple[float, float]


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a binomial share, inside [0, 1]; (0, 1) where n = 0.

    The shares s for which |successes/n - s| <= z sqrt(s (1 - s) / n). It contains the estimate and, unlike the normal
    interval, has a width at 0 and at n successes. Source: Wilson 1927, JASA 22, 209-212.
    """
    _check_level(level)
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes}; allowed: 0 to n = {n}")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    z = NormalDist().inv_cdf((1 + level) / 2)
    shrink = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / shrink
    # At 0 and at n successes one end is exactly the estimate; rounding may leave it on the wrong side.
    return max(min(centre - half, share), 0.0), min(max(centre + half, share), 1.0)


def mean_interval(values: ArrayLike, level: float = 0.95, *, bounds: Interval = (-math.inf, math.inf)) -> Interval:
    """Student's t interval of the mean of values (N,), N >= 2, cut to `bounds`: mean ± t s / sqrt(N), s their std.

    Meant for means over seeds. It takes them for normal; where all values are equal (every seed at accuracy 1) it has
    no width, which is a property of the sample and not a certainty. Source: Student 1908, Biometrika 6, 1-25.
    """
    units = _vector(values, at_least=2)
    mean = float(units.mean())
    half = t_quantile(len(units) - 1, level) * float(units.std(ddof=1)) / math.sqrt(len(units))
    return max(mean - half, bounds[0]), min(mean + half, bounds[1])


def t_quantile(freedom: int, level: float = 0.95) -> float:
    """The t for which Student's t with `freedom` degrees of freedom lies in [-t, t] with probability `level`.

    scipy is imported here, because it is slow to import and the interval of a share does not need it.
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

    right (P,): how many of a prompt's `samples` responses are right. Per prompt 1 - C(n - c, k) / C(n, k), the share of
    the k-subsets of its n samples that hold a right one; in whole numbers, so exact until the one division.
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
    """The values as a vector; ValueError if there are too few, or one is not finite."""
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or len(vector) < at_least:
        raise ValueError(f"values have the shape {vector.shape}; needed: (N,) with N >= {at_least}")
    if not np.isfinite(vector).all():
        raise ValueError("values must be finite numbers")
    return vector


def _check_level(level: float) -> None:
    """ValueError for a level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; allowed: above 0 and below 1")
