"""The claim on how many demonstrations the linear model needs, by d and by p_cot.

A run's rate falls to zero at its end, so a run answers for its own number of demonstrations only. A ladder of runs,
each with twice the demonstrations of the one before, answers for all. Calibration has no smooth course: what is
reported is the number from which every longer rung keeps it, halfway (in logarithms) to the rung below, so that a
single number is right up to a factor of 1.4. Right chains are interpolated between two rungs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from chainlift.measure.finding import Finding
from chainlift.measure.statistics import power_law
from chainlift.stages.recipe import Recipe
from chainlift.sweep.claims import Claim, by_seed
from chainlift.sweep.grid import Finished, cross

DIGITS = (10, 30, 100, 300, 1000)
P_AT_DIGITS = 0.25
P_COT = (0.02, 0.05, 0.1, 0.2, 0.3)
DIGITS_AT_P = 30
QUICK_DIGITS, QUICK_P_COT = (10, 30), (0.1, 0.3)
FIRST_RUNG = 8
"""Updates of the shortest run."""
CALIBRATED = 0.02
"""Allowed distance of the long share from p_cot."""
HALF = 0.5
"""Of the long responses are gold throughout: from there on keeping right chains makes the long share grow (q > 1/K)."""
MANY_DIGITS = 100
"""Exponents in d are also fitted from here on, as calibration starts flat; chosen after a first look at it."""
MEASURED_AT_THE_END = ("evaluate.every=1000000", "evaluate.prompts=512")


def ladder(d: int, p: float) -> list[int]:
    """Updates of the runs at d digits and p_cot p, each twice the one before, the last of at least 0.8 d / p."""
    top = max(math.ceil(math.log2(0.8 * d / p / FIRST_RUNG)), 1)
    return [FIRST_RUNG * 2**rung for rung in range(top + 1)]


def scaling_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The ladders over d at one p_cot and over p_cot at one d."""
    digits, shares = (QUICK_DIGITS, QUICK_P_COT) if quick else (DIGITS, P_COT)
    points = dict.fromkeys([*((d, P_AT_DIGITS) for d in digits), *((DIGITS_AT_P, p) for p in shares)])
    found = []
    for d, p in points:
        steps = {"pretrain.steps": ladder(d, p)}
        found += cross("linear-ntp", steps, seeds, f"task.d={d}", f"mixture.p_cot={p}", *MEASURED_AT_THE_END)
    return found


def check_scaling(finished: list[Finished]) -> list[Finding]:
    """The demonstrations needed at each point, and the exponents of power laws through them, seed by seed.

    Chains: a step's gold log-odds grow like log(rate p t) once they are large, as the logistic loss of a separable step
    has the slope exp(-log-odds); so a chain of d steps slips with about d / (rate p t), and the number is predicted
    to be proportional to d / p. The noise of the d - 1 other weights is left out of this argument.
    """
    chains, shares = demonstrations_until_right(finished), demonstrations_until_calibrated(finished)
    return [*_lines("chains right (q = 1/2)", chains, predicted=1.0), *_lines("calibrated within .02", shares)]


def _lines(
    name: str, needed: dict[tuple[int, float], tuple[float, ...]], predicted: float | None = None
) -> list[Finding]:
    """The findings of one criterion."""
    over_d = {d: v for (d, p), v in needed.items() if p == P_AT_DIGITS}
    over_p = {1 / p: v for (d, p), v in needed.items() if d == DIGITS_AT_P and p in P_COT}
    at_p, at_d = f"p_cot {P_AT_DIGITS:g}", f"d {DIGITS_AT_P}"
    found = []
    for axis, at, line in (("d", at_p, over_d), ("1/p_cot", at_d, over_p)):
        for x, values in sorted(line.items()):
            quantity = f"demonstrations until {name}, {at}"
            found.append(Finding(quantity, f"{axis} {x:.4g}", values, x=x, axis=axis, geometric=True))
    many = {d: v for d, v in over_d.items() if d >= MANY_DIGITS}
    for axis, at, line in (("d", at_p, over_d), (f"d >= {MANY_DIGITS}", at_p, many), ("1/p_cot", at_d, over_p)):
        if len(line) > 1:
            exponents = tuple(_exponent(list(line), seed) for seed in zip(*line.values(), strict=True))
            found.append(Finding(f"exponent in {axis}, {name}", at, exponents, predicted, 0.1, "mean"))
    return found


def demonstrations_until_calibrated(finished: list[Finished]) -> dict[tuple[int, float], tuple[float, ...]]:
    """{(d, p_cot): demonstrations, one number a seed} from which on every rung's long share is within CALIBRATED."""

    def error(run: Finished) -> float:
        return abs(run.summary["pretrain"]["exact_long_share"] - run.recipe.mixture.last)

    return _read(finished, error, lambda steps, errors: _first_kept(steps, [one <= CALIBRATED for one in errors]))


def demonstrations_until_right(finished: list[Finished]) -> dict[tuple[int, float], tuple[float, ...]]:
    """{(d, p_cot): demonstrations, one number a seed} at which half of the long responses are gold throughout."""
    return _read(finished, lambda run: run.summary["pretrain"]["exact_chain_exactness"] or 0.0, _half_right)


def _read(
    finished: list[Finished], value: Callable[[Finished], float], first: Callable[[list[int], list[float]], float]
) -> dict[tuple[int, float], tuple[float, ...]]:
    """{(d, p_cot): demonstrations, one number a seed} that `first` reads off a seed's ladder (updates, values)."""
    rungs = by_seed(finished, value, "task.d", "mixture.p_cot", "pretrain.steps")
    (batch,) = {run.recipe.setting("pretrain.batch_size") for run in finished}
    found = {}
    for d, p in dict.fromkeys((d, p) for d, p, _ in rungs):
        own = sorted((steps, values) for (at_d, at_p, steps), values in rungs.items() if (at_d, at_p) == (d, p))
        steps, per_seed = [step for step, _ in own], zip(*(values for _, values in own), strict=True)
        found[d, p] = tuple(batch * first(steps, list(seed)) for seed in per_seed)
    return found


def _first_kept(steps: list[int], kept: list[bool]) -> float:
    """Between the last rung that fails and the next; infinite where the last rung fails, the first where none does."""
    failed = [rung for rung, one in enumerate(kept) if not one]
    if not failed:
        return float(steps[0])
    last = failed[-1]
    return math.inf if last == len(steps) - 1 else math.sqrt(steps[last] * steps[last + 1])


def _half_right(steps: list[int], exactness: list[float]) -> float:
    """Where the exactness q crosses 1/2 for the last time: log(-log q) is drawn as a line in log(updates) between the
    two rungs, as q = exp(-c / updates) once a chain's slips are rare.
    """
    below = [rung for rung, q in enumerate(exactness) if q <= HALF]
    if not below or below[-1] == len(steps) - 1:
        return math.inf if below else float(steps[0])
    low = below[-1]
    q, x = [min(max(one, 1e-12), 1 - 1e-12) for one in exactness[low : low + 2]], steps[low : low + 2]
    (left, right), target = (math.log(-math.log(one)) for one in q), math.log(-math.log(HALF))
    return x[0] * (x[1] / x[0]) ** ((left - target) / (left - right))


def _exponent(x: list[float], y: tuple[float, ...]) -> float:
    """Of y in x; nan where a ladder was too short."""
    return power_law(x, y) if all(map(math.isfinite, y)) else math.nan


CLAIM = Claim(
    "linear-scaling",
    "The demonstrations until the linear model is calibrated, and until its chains are right, grow like powers of d "
    "and of 1/p",
    scaling_runs,
    check_scaling,
    seeds=(0, 1, 2, 3, 4),
)
