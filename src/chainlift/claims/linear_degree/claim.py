"""The control of Theorem 1: with features of degree 1 for the decision to go on, the threshold is 1/2."""

from __future__ import annotations

from functools import partial

from chainlift.claims import P_COT, Check, Claim, Grid, P, Place, Threshold, each_of, having
from chainlift.claims.linear_ntp.claim import NEAR
from chainlift.theory.linear_model import DEGREE_1_THRESHOLD, degree_1_predictions

SHARES = (0.42, 0.46, 0.48, 0.49, 0.5, 0.51, 0.52, 0.54, 0.58)
QUICK_SHARES = (0.42, 0.48, 0.52, 0.58)
QUICK = ("task.d=6", "pretrain.steps=1000", "evaluate.every=500")
DEGREE = "model.stop_degree"
_degree_1 = partial(Check, axis=P_COT, where=having(DEGREE, 1))
_degree_2 = partial(Check, axis=P_COT, where=having(DEGREE, 2))


def predicted_accuracy(place: Place) -> float:
    """The accuracy of sampled responses at degree 1."""
    return degree_1_predictions(place.d, 2, place.x)["sampled_accuracy"]


CLAIM = Claim(
    "linear-degree",
    "With features of degree 1 the stop decision cannot see whether y_1 = x_1, and the threshold is 1/2",
    each_of(
        Grid("linear-degree", {P: SHARES}, quick=QUICK, quick_settings={P: QUICK_SHARES}),
        Grid("linear-degree", {P: (0.42,)}, (f"{DEGREE}=2",), QUICK),
    ),
    (
        _degree_1("P(go on) after y_1 = x_1, degree 1", "decision_go_on", lambda place: place.x, 0.01),
        _degree_1("P(go on) after y_1 != x_1, degree 1", "decision_go_on_elsewhere", lambda place: place.x, 0.01),
        _degree_1("sampled accuracy (exact), degree 1", "exact_accuracy", predicted_accuracy, 0.01),
        Threshold(DEGREE_1_THRESHOLD, 0.01, NEAR, where=having(DEGREE, 1)),
        _degree_2("greedy length, degree 2", "greedy_length_median", lambda place: place.d),
    ),
    seeds=(0, 1, 2, 3, 4),
    order=110,
)
