"""The claims on next-token prediction with the linear model: Theorem 1, and the control whose stop decision has
features of degree 1. Predictions are those of theory/; nothing is fitted to make them hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chainlift.measure.finding import Finding
from chainlift.measure.threshold import flip_crossing, flip_interval, log_odds_crossing
from chainlift.recipe import Recipe
from chainlift.sweep.claims import Claim, after, by_seed
from chainlift.sweep.grid import Finished, cross
from chainlift.theory import closed_forms, linear_model

P = "mixture.p_cot"
NTP_P = (0.0, 0.05, 0.1, 0.25, 0.3, 0.32, 0.33, 0.34, 0.35, 0.37, 0.45)
DEGREE_P = (0.42, 0.46, 0.48, 0.49, 0.5, 0.51, 0.52, 0.54, 0.58)
DEGREE_2 = "model.stop_degree=2"
NEAR = 0.12
"""Points this near the predicted threshold enter its fit: there the line is the prediction's own, and points far off,
with their slower learning, do not weigh on it."""


def ntp_runs(seeds: Sequence[int]) -> list[Recipe]:
    """linear-ntp over p_cot."""
    return cross("linear-ntp", {P: NTP_P}, seeds)


def check_ntp(finished: list[Finished]) -> list[Finding]:
    """Weights against the population optimum, calibration, right chains, the threshold, and the control p_cot = 0.

    The mean log-odds of the decisions are the weights of x_1 and of bias + x_1 y_1: all others cancel over prompts.
    """
    learned = [run for run in finished if run.recipe.mixture.p_cot > 0]
    control = [run for run in finished if run.recipe.mixture.p_cot == 0]
    return [
        *_over_p(learned, "decision_first_log_odds", "log-odds of y_1 = x_1", linear_model.first_token_weight, 0.05),
        *_over_p(
            learned, "decision_go_on_log_odds", "log-odds of going on", lambda p: linear_model.go_on_log_odds(p, 2), 0.1
        ),
        *_over_p(learned, "exact_long_share", "long share (exact)", lambda p: p, 0.01),
        *_over_p(
            learned, "exact_accuracy", "sampled accuracy (exact)", lambda p: closed_forms.sampled_accuracy(p, 2), 0.01
        ),
        *_over_p(learned, "exact_chain_exactness", "long responses that are gold", lambda p: 1.0, 0.05),
        *_threshold(learned, closed_forms.threshold(2)),
        *_over_p(control, "greedy_accuracy", "greedy accuracy", lambda p: 0.5, 0.05),
        *_over_p(control, "exact_accuracy", "exact accuracy", lambda p: 0.5, 0.05),
    ]


def degree_runs(seeds: Sequence[int]) -> list[Recipe]:
    """linear-degree over p_cot around 1/2; and with degree 2, at p_cot .42."""
    return [*cross("linear-degree", {P: DEGREE_P}, seeds), *cross("linear-degree", {P: [0.42]}, seeds, DEGREE_2)]


def check_degree(finished: list[Finished]) -> list[Finding]:
    """The probability of going on after every first token, the threshold at 1/2, and the flip at degree 2."""
    one = [run for run in finished if getattr(run.recipe.model, "stop_degree", None) == 1]
    two = [run for run in finished if getattr(run.recipe.model, "stop_degree", None) == 2]
    d: int = getattr(finished[0].recipe.task, "d")  # noqa: B009 (a task's settings are typed elsewhere)

    def accuracy(p: float) -> float:
        return linear_model.degree_1_predictions(d, 2, p)["sampled_accuracy"]

    return [
        *_over_p(one, "decision_go_on", "P(go on) after y_1 = x_1, degree 1", lambda p: p, 0.01),
        *_over_p(one, "decision_go_on_elsewhere", "P(go on) after y_1 != x_1, degree 1", lambda p: p, 0.01),
        *_over_p(one, "exact_accuracy", "sampled accuracy (exact), degree 1", accuracy, 0.01),
        *_threshold(one, linear_model.DEGREE_1_THRESHOLD),
        *_over_p(two, "greedy_length_median", "greedy length, degree 2", lambda p: d, 0),
    ]


def _over_p(
    finished: list[Finished], key: str, quantity: str, predicted: Callable[[float], float], tolerance: float
) -> list[Finding]:
    """A finding for each p_cot: what the runs measured after next-token prediction against a function of p_cot."""
    return [
        Finding(quantity, f"p_cot {p:g}", values, predicted(p), tolerance, x=p)
        for p, values in by_seed(finished, after("pretrain", key), P).items()
    ]


def _threshold(finished: list[Finished], predicted: float) -> list[Finding]:
    """The threshold of each seed by the line through its log-odds, and by a logistic fit to all seeds' flips."""
    near = [run for run in finished if abs(run.recipe.mixture.p_cot - predicted) <= NEAR]
    odds = by_seed(near, after("pretrain", "decision_go_on_log_odds"), P)
    long = by_seed(near, lambda run: float(run.summary["pretrain"]["greedy_length_median"] > 1), P)
    p, per_seed = np.array(list(odds)), np.array(list(odds.values())).T
    crossings = tuple(log_odds_crossing(p, row) for row in per_seed)
    flips = np.array(list(long.values())).T
    low, high = flip_interval(p, flips, np.random.default_rng(0))
    fitted = flip_crossing(np.tile(p, len(flips)), flips.ravel())
    note = f"all seeds together, bootstrap over seeds [{low:.4f}, {high:.4f}]"
    return [
        Finding("threshold, from log-odds of going on", "", crossings, predicted, 0.01),
        Finding("threshold, from greedy flips", "", (fitted,), predicted, 0.01, note=note),
    ]


CLAIMS = (
    Claim(
        "linear-ntp",
        "Theorem 1: next-token prediction makes the linear model length-calibrated, right on long answers and "
        "random on short ones; greedy flips at p_cot 1/3",
        ntp_runs,
        check_ntp,
    ),
    Claim(
        "linear-degree",
        "With features of degree 1 the stop decision cannot see whether y_1 = x_1, and the threshold is 1/2",
        degree_runs,
        check_degree,
    ),
)
