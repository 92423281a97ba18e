"""Ladders of runs, each with twice the demonstrations of the one before, and the number needed that is read off one.

A run's rate falls to zero at its end, so a run answers for its own number of demonstrations only; a ladder answers for
all. Calibration has no smooth course: what is reported is the number from which every longer rung keeps it, halfway (in
logarithms) to the rung below, so that a single number is right up to a factor of 1.4. Right chains are interpolated
between two rungs.
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
"""Of the long responses are gold throughout: from there on keeping right chains makes the long share grow (q > 1/K)."""

Needed = dict[tuple[int, float], tuple[float, ...]]
"""{(d, p_cot): demonstrations, one number a seed}."""


def ladder(d: int, p: float) -> list[int]:
    """Updates of the runs at d digits and p_cot p, each twice the one before, the last of at least 0.8 d / p."""
    top = max(math.ceil(math.log2(0.8 * d / p / FIRST_RUNG)), 1)
    return [FIRST_RUNG * 2**rung for rung in range(top + 1)]


def until_calibrated(finished: Sequence[Finished]) -> Needed:
    """The demonstrations from which on every rung's long share is within CALIBRATED of p_cot."""

    def error(run: Finished) -> float:
        return abs(run.summary["pretrain"]["exact_long_share"] - run.recipe.mixture.last)

    return _read(finished, error, lambda steps, errors: first_kept(steps, [error <= CALIBRATED for error in errors]))


def until_right(finished: Sequence[Finished]) -> Needed:
    """The demonstrations at which half of the long responses are gold throughout."""
    return _read(finished, lambda run: run.summary["pretrain"]["exact_chain_exactness"] or 0.0, half_right)


def _read(
    finished: Sequence[Finished],
    value: Callable[[Finished], float],
    first: Callable[[list[int], list[float]], float],
) -> Needed:
    """What `first` reads off each seed's ladder (updates, values)."""
    rungs = by_seed(finished, value, "task.d", "mixture.p_cot", "pretrain.steps")
    (batch,) = {run.recipe.setting("pretrain.batch_size") for run in finished}
    needed = {}
    for d, p in dict.fromkeys((d, p) for d, p, _ in rungs):
        ladder = sorted((steps, values) for (at_d, at_p, steps), values in rungs.items() if (at_d, at_p) == (d, p))
        steps, per_seed = [step for step, _ in ladder], zip(*(values for _, values in ladder), strict=True)
        needed[d, p] = tuple(batch * first(steps, list(seed)) for seed in per_seed)
    return needed


def first_kept(steps: list[int], kept: list[bool]) -> float:
    """Between the last rung that fails and the next; infinite where the last rung fails, the first where none does."""
    failed = [rung for rung, is_kept in enumerate(kept) if not is_kept]
    if not failed:
        return float(steps[0])
    last = failed[-1]
    return math.inf if last == len(steps) - 1 else math.sqrt(steps[last] * steps[last + 1])


def half_right(steps: list[int], exactness: list[float]) -> float:
    """Where the exactness q crosses 1/2 for the last time: log(-log q) is drawn as a line in log(updates) between the
    two rungs, as q = exp(-c / updates) once a chain's slips are rare.
    """
    below = [rung for rung, q in enumerate(exactness) if q <= HALF]
    if not below or below[-1] == len(steps) - 1:
        return math.inf if below else float(steps[0])
    low = below[-1]
    q, x = [min(max(q, 1e-12), 1 - 1e-12) for q in exactness[low : low + 2]], steps[low : low + 2]
    (left, right), target = (math.log(-math.log(each)) for each in q), math.log(-math.log(HALF))
    return x[0] * (x[1] / x[0]) ** ((left - target) / (left - right))
