"""Greedy answers of parity become long at p_cot = 1/3."""

from __future__ import annotations

from collections.abc import Callable

from chainlift.claims import GO_ON, P_COT, QUICK_SUMS, Check, Claim, Grid, P, Place, Threshold
from chainlift.claims.threshold.figure import NEAR, pictures
from chainlift.theory import closed_forms
from chainlift.theory.linear_model import go_on_log_odds

SHARES = (0.1, 0.2, 0.25, 0.29, 0.32, 0.35, 0.38, 0.42, 0.5, 0.7)
QUICK_SHARES = (0.15, 0.26, 0.41, 0.5)
QUICK = ("task.d=12", *QUICK_SUMS, "pretrain.steps=280", "evaluate.every=280")
THIRD = closed_forms.threshold(2)


def _step(below: float, above: float) -> Callable[[Place], float | None]:
    """A prediction below and above the threshold; None close to it, where noise of the log-odds can flip it."""
    return lambda place: None if abs(place.x - THIRD) < 0.06 else below if place.x < THIRD else above


CLAIM = Claim(
    "threshold",
    "Greedy answers become long at p_cot = 1/3, and are a coin flip below",
    Grid("threshold", {P: SHARES}, quick=QUICK, quick_settings={P: QUICK_SHARES}),
    (
        Threshold(THIRD, 0.03, NEAR),
        Check("log-odds of going on", GO_ON, lambda place: go_on_log_odds(place.x, 2), 0.2, axis=P_COT),
        Check("greedy long share", "greedy_long_share", _step(0.0, 1.0), 0.05, axis=P_COT),
        Check("greedy accuracy", "greedy_accuracy", _step(0.5, 1.0), 0.05, axis=P_COT),
        Check("sampled long share", "sampled_long_share", lambda place: place.x, 0.04, axis=P_COT),
        Check("sampled long responses that are gold", "sampled_chain_exactness", axis=P_COT),
    ),
    seeds=tuple(range(10)),
    order=30,
    pictures=pictures,
)
