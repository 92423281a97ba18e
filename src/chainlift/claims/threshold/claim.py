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


def _off_the_threshold(below: float, above: float) -> Callable[[Place], float | None]:
    """What is predicted away from the threshold, where a wobble of the decision to go on does not flip it."""
    return lambda at: None if abs(at.x - THIRD) < 0.06 else below if at.x < THIRD else above


CLAIM = Claim(
    "threshold",
    "Greedy answers become long at p_cot = 1/3, and are a coin flip below",
    Grid("threshold", {P: SHARES}, quick=QUICK, quick_settings={P: QUICK_SHARES}),
    (
        Threshold(THIRD, 0.03, NEAR),
        Check("log-odds of going on", GO_ON, lambda at: go_on_log_odds(at.x, 2), 0.2, axis=P_COT),
        Check("greedy long share", "greedy_long_share", _off_the_threshold(0.0, 1.0), 0.05, axis=P_COT),
        Check("greedy accuracy", "greedy_accuracy", _off_the_threshold(0.5, 1.0), 0.05, axis=P_COT),
        Check("sampled long share", "sampled_long_share", lambda at: at.x, 0.04, axis=P_COT),
        Check("sampled long responses that are gold", "sampled_chain_exactness", axis=P_COT),
    ),
    seeds=tuple(range(10)),
    order=30,
    pictures=pictures,
)
