"""The number of demonstrations that the linear model needs, by d and by p_cot.

Prediction for chains: the number is proportional to d / p. The logistic loss of a separable step has the slope
exp(-log-odds), so a step's gold log-odds grow like log(rate p t) once they are large. A chain of d steps then slips
with a probability of about d / (rate p t). The argument ignores the noise of the d - 1 other weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainlift.claims import Claim, Finished, cross
from chainlift.claims.linear_scaling.ladder import Needed, ladder, until_calibrated, until_right
from chainlift.measure.finding import Finding
from chainlift.measure.statistics import power_law
from chainlift.stages.recipe import Recipe

DIGITS = (10, 30, 100, 300, 1000)
FIXED_P_COT = 0.25
"""p_cot of the ladders over d."""
P_COT = (0.02, 0.05, 0.1, 0.2, 0.3)
FIXED_DIGITS = 30
"""d of the ladders over p_cot."""
QUICK_DIGITS, QUICK_P_COT = (10, 30), (0.1, 0.3)
MANY_DIGITS = 100
"""Exponents in d are also fitted from this d on, as calibration starts flat; chosen after a first look at it."""
EVALUATE_AT_END = ("evaluate.every=1000000", "evaluate.prompts=512")


def runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipes of the ladders over d at one p_cot, and over p_cot at one d."""
    digits, shares = (QUICK_DIGITS, QUICK_P_COT) if quick else (DIGITS, P_COT)
    points = dict.fromkeys([*((d, FIXED_P_COT) for d in digits), *((FIXED_DIGITS, p) for p in shares)])
    recipes = []
    for d, p in points:
        steps = {"pretrain.steps": ladder(d, p)}
        recipes += cross("linear-ntp", steps, seeds, f"task.d={d}", f"mixture.p_cot={p}", *EVALUATE_AT_END)
    return recipes


def chains_right(finished: Sequence[Finished]) -> list[Finding]:
    """Findings on the demonstrations until half of the long responses are gold, with exponents predicted to be 1."""
    return _findings("chains right (q = 1/2)", until_right(finished), predicted=1.0)


def calibrated(finished: Sequence[Finished]) -> list[Finding]:
    """Findings on the demonstrations until the long share is p_cot, with exponents."""
    return _findings("calibrated within .02", until_calibrated(finished))


def _findings(name: str, needed: Needed, predicted: float | None = None) -> list[Finding]:
    """The numbers at each point, and the exponents of power laws through them, one for each seed."""
    over_d = {d: values for (d, p), values in needed.items() if p == FIXED_P_COT}
    over_p = {1 / p: values for (d, p), values in needed.items() if d == FIXED_DIGITS and p in P_COT}
    at_p, at_d = f"p_cot {FIXED_P_COT:g}", f"d {FIXED_DIGITS}"
    findings = []
    for axis, fixed, curve in (("d", at_p, over_d), ("1/p_cot", at_d, over_p)):
        for x, values in sorted(curve.items()):
            quantity = f"demonstrations until {name}, {fixed}"
            findings.append(Finding(quantity, f"{axis} {x:.4g}", values, x=x, axis=axis, geometric=True))
    many = {d: values for d, values in over_d.items() if d >= MANY_DIGITS}
    for axis, fixed, curve in (("d", at_p, over_d), (f"d >= {MANY_DIGITS}", at_p, many), ("1/p_cot", at_d, over_p)):
        if len(curve) > 1:
            exponents = tuple(_exponent(list(curve), values) for values in zip(*curve.values(), strict=True))
            findings.append(Finding(f"exponent in {axis}, {name}", fixed, exponents, predicted, 0.1, "mean"))
    return findings


def _exponent(x: list[float], y: tuple[float, ...]) -> float:
    """The exponent of y in x; nan if a ladder was too short."""
    return power_law(x, y) if all(map(math.isfinite, y)) else math.nan


CLAIM = Claim(
    "linear-scaling",
    "The demonstrations until the linear model is calibrated, and until its chains are right, grow like powers of d "
    "and of 1/p",
    runs,
    (chains_right, calibrated),
    seeds=(0, 1, 2, 3, 4),
    order=120,
)
