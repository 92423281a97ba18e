"""How many demonstrations the linear model needs, by d and by p_cot.

Chains: a step's gold log-odds grow like log(rate p t) once they are large, as the logistic loss of a separable step
has the slope exp(-log-odds); so a chain of d steps slips with about d / (rate p t), and the number is predicted to be
proportional to d / p. The noise of the d - 1 other weights is left out of this argument.
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
P_AT_DIGITS = 0.25
P_COT = (0.02, 0.05, 0.1, 0.2, 0.3)
DIGITS_AT_P = 30
QUICK_DIGITS, QUICK_P_COT = (10, 30), (0.1, 0.3)
MANY_DIGITS = 100
"""Exponents in d are also fitted from here on, as calibration starts flat; chosen after a first look at it."""
MEASURED_AT_THE_END = ("evaluate.every=1000000", "evaluate.prompts=512")


def runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The ladders over d at one p_cot and over p_cot at one d."""
    digits, shares = (QUICK_DIGITS, QUICK_P_COT) if quick else (DIGITS, P_COT)
    points = dict.fromkeys([*((d, P_AT_DIGITS) for d in digits), *((DIGITS_AT_P, p) for p in shares)])
    recipes = []
    for d, p in points:
        steps = {"pretrain.steps": ladder(d, p)}
        recipes += cross("linear-ntp", steps, seeds, f"task.d={d}", f"mixture.p_cot={p}", *MEASURED_AT_THE_END)
    return recipes


def chains_right(finished: Sequence[Finished]) -> list[Finding]:
    """The demonstrations until half of the long responses are gold, and their exponents, predicted to be 1."""
    return _lines("chains right (q = 1/2)", until_right(finished), predicted=1.0)


def calibrated(finished: Sequence[Finished]) -> list[Finding]:
    """The demonstrations until the long share is p_cot, and their exponents."""
    return _lines("calibrated within .02", until_calibrated(finished))


def _lines(name: str, needed: Needed, predicted: float | None = None) -> list[Finding]:
    """The numbers at each point, and the exponents of power laws through them, seed by seed."""
    over_d = {d: values for (d, p), values in needed.items() if p == P_AT_DIGITS}
    over_p = {1 / p: values for (d, p), values in needed.items() if d == DIGITS_AT_P and p in P_COT}
    at_p, at_d = f"p_cot {P_AT_DIGITS:g}", f"d {DIGITS_AT_P}"
    lines = []
    for axis, at, line in (("d", at_p, over_d), ("1/p_cot", at_d, over_p)):
        for x, values in sorted(line.items()):
            quantity = f"demonstrations until {name}, {at}"
            lines.append(Finding(quantity, f"{axis} {x:.4g}", values, x=x, axis=axis, geometric=True))
    many = {d: values for d, values in over_d.items() if d >= MANY_DIGITS}
    for axis, at, line in (("d", at_p, over_d), (f"d >= {MANY_DIGITS}", at_p, many), ("1/p_cot", at_d, over_p)):
        if len(line) > 1:
            exponents = tuple(_exponent(list(line), seed) for seed in zip(*line.values(), strict=True))
            lines.append(Finding(f"exponent in {axis}, {name}", at, exponents, predicted, 0.1, "mean"))
    return lines


def _exponent(x: list[float], y: tuple[float, ...]) -> float:
    """Of y in x; nan where a ladder was too short."""
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
