"""Theorem 1: next-token prediction of the linear model, against predictions of theory/ without a fitted parameter."""

from __future__ import annotations

from functools import partial

from chainlift.claims import GO_ON, P_COT, Check, Claim, Grid, P, Threshold
from chainlift.stages.recipe import Recipe
from chainlift.theory.closed_forms import sampled_accuracy, threshold
from chainlift.theory.linear_model import first_token_weight, go_on_log_odds

SHARES = (0.0, 0.05, 0.1, 0.25, 0.3, 0.32, 0.33, 0.34, 0.35, 0.37, 0.45)
QUICK_SHARES = (0.0, 0.25, 0.3, 0.35, 0.45)
QUICK = ("task.d=8", "pretrain.steps=1600", "evaluate.every=800")
NEAR = 0.12
"""The fit of the threshold uses points at most this far from the prediction: points farther off learn more slowly and
would bend the line."""


def has_chains(recipe: Recipe) -> bool:
    """Whether some demonstrations of a recipe are long."""
    return recipe.mixture.last > 0


_check = partial(Check, axis=P_COT, where=has_chains)
_control = partial(Check, axis=P_COT, where=lambda recipe: not has_chains(recipe))

# The mean log-odds of the decisions are the weights of x_1 and of bias + x_1 y_1; all others cancel over prompts.
CLAIM = Claim(
    "linear-ntp",
    "Theorem 1: next-token prediction makes the linear model length-calibrated, right on long answers and "
    "random on short ones; greedy flips at p_cot 1/3",
    Grid("linear-ntp", {P: SHARES}, quick=QUICK, quick_settings={P: QUICK_SHARES}),
    (
        _check("log-odds of y_1 = x_1", "decision_first_log_odds", lambda place: first_token_weight(place.x), 0.05),
        _check("log-odds of going on", GO_ON, lambda place: go_on_log_odds(place.x, 2), 0.1),
        _check("long share (exact)", "exact_long_share", lambda place: place.x, 0.01),
        _check("sampled accuracy (exact)", "exact_accuracy", lambda place: sampled_accuracy(place.x, 2), 0.01),
        _check("long responses that are gold", "exact_chain_exactness", 1.0, 0.05),
        Threshold(threshold(2), 0.01, NEAR, where=has_chains),
        _control("greedy accuracy", "greedy_accuracy", 0.5, 0.05),
        _control("exact accuracy", "exact_accuracy", 0.5, 0.05),
    ),
    seeds=(0, 1, 2, 3, 4),
    order=100,
)
