"""Ladders of runs, each with twice the demonstrations of the one before, and the number of demonstrations needed.

A run's learning rate falls to zero at its end, so a run tests only its own number of demonstrations; a ladder tests a
range. Calibration is not smooth over a ladder: the number reported is the one from which every longer rung is
calibrated, placed halfway (in logarithms) to the rung below, so that it is right up to a factor of 1.4. Right chains
are interpolated between two rungs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from chainlift.claims import Finished, by_seed

FIRST_RUNG = 8
"""Updates of the shortest run."""
CALIBRATED = 0.02
"""Allowed distance of the long share from p_cot."""
HALF = 0.5
"""The share of long responses that are gold throughout above which keeping right chains makes the long share grow
(q > 1/K)."""

Needed = dict[tuple[int, float], tuple[float, ...]]
"""{(d, p_cot): demonstrations, one number for each seed}."""


def ladder(d: int, p: float) -> list[int]:
    """The numbers of updates of the runs at d digits and p_cot p: each twice the one before, the last >= 0.8 d / p."""
    top = max(math.ceil(math.log2(0.8 * d / p / FIRST_RUNG)), 1)
    return [FIRST_RUNG * 2**rung for rung in range(top + 1)]


def until_calibrated(finished: Sequence[Finished]) -> Needed:
    """The demonstrations from which on every rung's long share is within CALIBRATED of p_cot."""

    def error(run: Finished) -> float:
        return abs(run.summary["pretrain"]["exact_long_share"] - run.recipe.mixture.last)

    return _needed(finished, error, lambda steps, errors: first_kept(steps, [error <= CALIBRATED for error in errors]))


def until_right(finished: Sequence[Finished]) -> Needed:
    """The demonstrations at which half of the long responses are gold throughout."""
    return _needed(finished, lambda run: run.summary["pretrain"]["exact_chain_exactness"] or 0.0, half_right)


def _needed(
    finished: Sequence[Finished],
    value: Callable[[Finished], float],
    first: Callable[[list[int], list[float]], float],
) -> Needed:
    """The demonstrations needed at each (d, p_cot); `first` returns the updates from a ladder (updates, values)."""
    rungs = by_seed(finished, value, "task.d", "mixture.p_cot", "pretrain.steps")
    (batch,) = {run.recipe.setting("pretrain.batch_size") for run in finished}
    needed = {}
    for d, p in dict.fromkeys((d, p) for d, p, _ in rungs):
        ladder = sorted((steps, values) for (at_d, at_p, steps), values in rungs.items() if (at_d, at_p) == (d, p))
        steps, by_seeds = [step for step, _ in ladder], zip(*(values for _, values in ladder), strict=True)
        needed[d, p] = tuple(batch * first(steps, list(values)) for values in by_seeds)
    return needed


def first_kept(steps: list[int], passed: list[bool]) -> float:
    """The updates between the last rung that fails and the next: infinite if that is the last, the first if none."""
    failed = [rung for rung, has_passed in enumerate(passed) if not has_passed]
    if not failed:
        return float(steps[0])
    last = failed[-1]
    return math.inf if last == len(steps) - 1 else math.sqrt(steps[last] * steps[last + 1])


def half_right(steps: list[int], exactness: list[float]) -> float:
    """The updates at which the exactness q crosses 1/2 for the last time.

    Between two rungs log(-log q) is a line in log(updates), as q = exp(-c / updates) once a chain's slips are rare.
    """
    below = [rung for rung, q in enumerate(exactness) if q <= HALF]
    if not below or below[-1] == len(steps) - 1:
        return math.inf if below else float(steps[0])
    low = below[-1]
    q, x = [min(max(q, 1e-12), 1 - 1e-12) for q in exactness[low : low + 2]], steps[low : low + 2]
    (left, right), target = (math.log(-math.log(exact)) for exact in q), math.log(-math.log(HALF))
    return x[0] * (x[1] / x[0]) ** ((left - target) / (left - right))
