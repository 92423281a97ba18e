"""The claims on the autoregressive linear model: Theorem 1 (next-token prediction), Theorem 2 (STaR), and the control
whose stop decision has features of degree 1. Predictions are those of theory/; nothing is fitted to make them hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chainlift.measure.finding import Finding
from chainlift.measure.threshold import flip_crossing, flip_interval, log_odds_crossing
from chainlift.recipe import Recipe
from chainlift.sweep.claims import Claim, by_seed, first_long
from chainlift.sweep.grid import Finished, cross
from chainlift.theory import closed_forms, linear_model, star

P = "mixture.p_cot"
NTP_P = (0.0, 0.05, 0.1, 0.25, 0.3, 0.32, 0.33, 0.34, 0.35, 0.37, 0.45)
DEGREE_P = (0.42, 0.46, 0.48, 0.49, 0.5, 0.51, 0.52, 0.54, 0.58)
STAR_P = (0.1, 0.05, 0.02)
NEAR = 0.12
"""Points this near the predicted threshold enter its fit: there the line is the prediction's own, and points far off,
with their slower learning, do not weigh on it."""


def ntp_runs(seeds: Sequence[int]) -> list[Recipe]:
    """linear-ntp over p_cot."""
    return cross("linear-ntp", {P: NTP_P}, seeds)


def check_ntp(finished: list[Finished]) -> list[Finding]:
    """Weights against the population optimum, calibration, right chains, the threshold, and the control p_cot = 0."""
    learned = [run for run in finished if run.recipe.mixture.p_cot > 0]
    found = _log_odds(learned) + _calibration(learned) + _threshold(learned, closed_forms.threshold(2))
    for quantity in ("greedy_accuracy", "exact_accuracy"):
        control = [run for run in finished if run.recipe.mixture.p_cot == 0]
        for values in by_seed(control, _after("pretrain", quantity), P).values():
            found.append(Finding(quantity.replace("_", " "), "p_cot 0", values, 0.5, 0.05, note="nothing is learned"))
    return found


def degree_runs(seeds: Sequence[int]) -> list[Recipe]:
    """linear-degree over p_cot around 1/2; and with degree 2, at p_cot .42."""
    return [*cross("linear-degree", {P: DEGREE_P}, seeds), *cross("linear-degree", {P: [0.42]}, seeds, DEGREE_2)]


DEGREE_2 = "model.stop_degree=2"


def check_degree(finished: list[Finished]) -> list[Finding]:
    """The probability of going on after every first token, the threshold at 1/2, and the flip at degree 2."""
    one = [run for run in finished if getattr(run.recipe.model, "stop_degree", None) == 1]
    two = [run for run in finished if getattr(run.recipe.model, "stop_degree", None) == 2]
    found = []
    for quantity in ("decision_go_on", "decision_go_on_elsewhere"):
        for p, values in by_seed(one, _after("pretrain", quantity), P).items():
            found.append(Finding(_name(quantity), f"p_cot {p:g}", values, p, 0.01, x=p))
    for p, values in by_seed(one, _after("pretrain", "exact_accuracy"), P).items():
        predicted = linear_model.degree_1_predictions(10, 2, p)["sampled_accuracy"]
        found.append(Finding("sampled accuracy (exact), degree 1", f"p_cot {p:g}", values, predicted, 0.01, x=p))
    found += _threshold(one, linear_model.DEGREE_1_THRESHOLD)
    for p, values in by_seed(two, _after("pretrain", "greedy_length_median"), P).items():
        found.append(Finding("greedy length, degree 2", f"p_cot {p:g}", values, 10, 0))
    return found


def star_runs(seeds: Sequence[int]) -> list[Recipe]:
    """linear-star over p_cot."""
    return cross("linear-star", {P: STAR_P}, seeds)


def check_star(finished: list[Finished]) -> list[Finding]:
    """The long share after each round against p_n, the round of the flip, and the accuracy after it."""
    found = []
    for p in sorted({run.recipe.mixture.p_cot for run in finished}, reverse=True):
        runs = [run for run in finished if run.recipe.mixture.p_cot == p]
        rounds = [run.evaluations("posttrain") for run in runs]
        for n in range(len(rounds[0])):
            values = tuple(rows[n]["exact"]["long_share"] for rows in rounds)
            share, setting = star.star_share_after(p, n, 2), f"p_cot {p:g}"
            line = Finding(
                "long share (exact)", f"{setting}, round {n}", values, share, 0.02, x=n, axis="round", series=setting
            )
            found.append(line)
        flips = tuple(first_long(rows) for rows in rounds)
        predicted = star.star_rounds_to_flip(p, 2)
        assert predicted is not None
        found.append(Finding("rounds to flip", f"p_cot {p:g}", flips, predicted, 0))
        last = tuple(rows[-1]["greedy"]["accuracy"] for rows in rounds)
        found.append(Finding("greedy accuracy", f"p_cot {p:g}, last round", last, 1.0, 0.01))
    return found


def _log_odds(finished: list[Finished]) -> list[Finding]:
    """Mean log-odds of the two decisions: the weights of x_1 and of bias + x_1 y_1, all others cancel over prompts."""
    found = []
    for p, values in by_seed(finished, _after("pretrain", "decision_first_log_odds"), P).items():
        found.append(
            Finding("log-odds of y_1 = x_1", f"p_cot {p:g}", values, linear_model.first_token_weight(p), 0.05, x=p)
        )
    for p, values in by_seed(finished, _after("pretrain", "decision_go_on_log_odds"), P).items():
        optimum = linear_model.go_on_log_odds(p, 2)
        found.append(Finding("log-odds of going on", f"p_cot {p:g}", values, optimum, 0.1, x=p))
    return found


def _calibration(finished: list[Finished]) -> list[Finding]:
    """Long share and accuracy of samples, as expectations, and the exactness of long responses."""
    found = []
    for p, values in by_seed(finished, _after("pretrain", "exact_long_share"), P).items():
        found.append(Finding("long share (exact)", f"p_cot {p:g}", values, p, 0.01, x=p))
    for p, values in by_seed(finished, _after("pretrain", "exact_accuracy"), P).items():
        accuracy = closed_forms.sampled_accuracy(p, 2)
        found.append(Finding("sampled accuracy (exact)", f"p_cot {p:g}", values, accuracy, 0.01, x=p))
    for p, values in by_seed(finished, _after("pretrain", "exact_chain_exactness"), P).items():
        found.append(Finding("long responses that are gold", f"p_cot {p:g}", values, 1.0, 0.05, x=p))
    return found


def _threshold(finished: list[Finished], predicted: float) -> list[Finding]:
    """The threshold of each seed by the line through its log-odds, and by a logistic fit to all seeds' flips."""
    near = [run for run in finished if abs(run.recipe.mixture.p_cot - predicted) <= NEAR]
    odds = by_seed(near, _after("pretrain", "decision_go_on_log_odds"), P)
    long = by_seed(near, lambda run: float(run.summary["pretrain"]["greedy_length_median"] > 1), P)
    p, per_seed = np.array(list(odds)), np.array(list(odds.values())).T
    crossings = tuple(log_odds_crossing(p, row) for row in per_seed)
    flips = np.array(list(long.values())).T
    generator = np.random.default_rng(0)
    low, high = flip_interval(p, flips, generator)
    fitted = flip_crossing(np.tile(p, len(flips)), flips.ravel())
    note = f"all seeds together, bootstrap over seeds [{low:.4f}, {high:.4f}]"
    return [
        Finding("threshold, from log-odds of going on", "", crossings, predicted, 0.01),
        Finding("threshold, from greedy flips", "", (fitted,), predicted, 0.01, note=note),
    ]


def _after(stage: str, key: str) -> Callable[[Finished], float]:
    """What a run's summary tells of a stage."""
    return lambda run: float(run.summary[stage][key])


def _name(quantity: str) -> str:
    return {
        "decision_go_on": "P(go on) after y_1 = x_1, degree 1",
        "decision_go_on_elsewhere": "P(go on) after y_1 != x_1, degree 1",
    }[quantity]


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
    Claim(
        "linear-star",
        "Theorem 2: STaR doubles the odds of a long answer each round, and greedy flips in O(log((1 - p) / p)) rounds",
        star_runs,
        check_star,
    ),
)
