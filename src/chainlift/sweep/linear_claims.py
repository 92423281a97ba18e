"""The claims on next-token prediction with the linear model: Theorem 1, and the control whose stop decision has
features of degree 1. Predictions are those of theory/; nothing is fitted to make them hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe
from chainlift.sweep.claims import Claim
from chainlift.sweep.grid import Finished, cross
from chainlift.sweep.over_p import P, over_p, threshold
from chainlift.theory import closed_forms, linear_model

NTP_P = (0.0, 0.05, 0.1, 0.25, 0.3, 0.32, 0.33, 0.34, 0.35, 0.37, 0.45)
DEGREE_P = (0.42, 0.46, 0.48, 0.49, 0.5, 0.51, 0.52, 0.54, 0.58)
DEGREE_2 = "model.stop_degree=2"
QUICK_NTP_P = (0.0, 0.25, 0.3, 0.35, 0.45)
QUICK_NTP = ("task.d=8", "pretrain.steps=1600", "evaluate.every=800")
QUICK_DEGREE_P = (0.42, 0.48, 0.52, 0.58)
QUICK_DEGREE = ("task.d=6", "pretrain.steps=1000", "evaluate.every=500")
NEAR = 0.12
"""Points this near the predicted threshold enter its fit: there the line is the prediction's own, and points far off,
with their slower learning, do not weigh on it."""


def ntp_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """linear-ntp over p_cot."""
    if quick:
        return cross("linear-ntp", {P: QUICK_NTP_P}, seeds, *QUICK_NTP)
    return cross("linear-ntp", {P: NTP_P}, seeds)


def check_ntp(finished: list[Finished]) -> list[Finding]:
    """Weights against the population optimum, calibration, right chains, the threshold, and the control p_cot = 0.

    The mean log-odds of the decisions are the weights of x_1 and of bias + x_1 y_1: all others cancel over prompts.
    """
    learned = [run for run in finished if run.recipe.mixture.last > 0]
    control = [run for run in finished if run.recipe.mixture.last == 0]
    return [
        *over_p(learned, "decision_first_log_odds", "log-odds of y_1 = x_1", linear_model.first_token_weight, 0.05),
        *over_p(
            learned, "decision_go_on_log_odds", "log-odds of going on", lambda p: linear_model.go_on_log_odds(p, 2), 0.1
        ),
        *over_p(learned, "exact_long_share", "long share (exact)", lambda p: p, 0.01),
        *over_p(
            learned, "exact_accuracy", "sampled accuracy (exact)", lambda p: closed_forms.sampled_accuracy(p, 2), 0.01
        ),
        *over_p(learned, "exact_chain_exactness", "long responses that are gold", lambda p: 1.0, 0.05),
        *threshold(learned, closed_forms.threshold(2), 0.01, near=NEAR),
        *over_p(control, "greedy_accuracy", "greedy accuracy", lambda p: 0.5, 0.05),
        *over_p(control, "exact_accuracy", "exact accuracy", lambda p: 0.5, 0.05),
    ]


def degree_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """linear-degree over p_cot around 1/2; and with degree 2, at p_cot .42."""
    shares, fixed = (QUICK_DEGREE_P, QUICK_DEGREE) if quick else (DEGREE_P, ())
    first = cross("linear-degree", {P: shares}, seeds, *fixed)
    return [*first, *cross("linear-degree", {P: [0.42]}, seeds, DEGREE_2, *fixed)]


def check_degree(finished: list[Finished]) -> list[Finding]:
    """The probability of going on after every first token, the threshold at 1/2, and the flip at degree 2."""
    one = [run for run in finished if getattr(run.recipe.model, "stop_degree", None) == 1]
    two = [run for run in finished if getattr(run.recipe.model, "stop_degree", None) == 2]
    d: int = finished[0].recipe.setting("task.d")

    def accuracy(p: float) -> float:
        return linear_model.degree_1_predictions(d, 2, p)["sampled_accuracy"]

    return [
        *over_p(one, "decision_go_on", "P(go on) after y_1 = x_1, degree 1", lambda p: p, 0.01),
        *over_p(one, "decision_go_on_elsewhere", "P(go on) after y_1 != x_1, degree 1", lambda p: p, 0.01),
        *over_p(one, "exact_accuracy", "sampled accuracy (exact), degree 1", accuracy, 0.01),
        *threshold(one, linear_model.DEGREE_1_THRESHOLD, 0.01, near=NEAR),
        *over_p(two, "greedy_length_median", "greedy length, degree 2", lambda p: d, 0),
    ]


CLAIMS = (
    Claim(
        "linear-ntp",
        "Theorem 1: next-token prediction makes the linear model length-calibrated, right on long answers and "
        "random on short ones; greedy flips at p_cot 1/3",
        ntp_runs,
        check_ntp,
        seeds=(0, 1, 2, 3, 4),
    ),
    Claim(
        "linear-degree",
        "With features of degree 1 the stop decision cannot see whether y_1 = x_1, and the threshold is 1/2",
        degree_runs,
        check_degree,
        seeds=(0, 1, 2, 3, 4),
    ),
)
