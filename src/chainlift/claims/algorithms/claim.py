"""Algorithms, rewards and temperatures with which RL lifts accuracy and length."""

from __future__ import annotations

from functools import partial

from chainlift.claims import QUICK_SUMS, Axis, Check, Claim, Grid, each_of, setting_of
from chainlift.claims.algorithms.figure import REWARDS, SETTING, pictures
from chainlift.stages.recipe import Recipe

ALGORITHM, REWARD, TEMPERATURE = SETTING
SETTINGS = {REWARD: REWARDS, TEMPERATURE: (0.75, 1.0, 1.5)}
QUICK_SETTINGS = {REWARD: REWARDS, TEMPERATURE: (1.0, 1.5)}
ONE_UPDATE = {ALGORITHM: ("grpo", "reinforce")}
"""Algorithms with one update in each round; STaR makes several, on the responses that it kept."""
STAR = (
    "posttrain.algorithm=star", "posttrain.prompts=256", "posttrain.steps_per_round=10", "posttrain.minibatches=4",
    "evaluate.every_rounds=1",
)  # fmt: skip
QUICK = ("task.d=12", *QUICK_SUMS, "pretrain.steps=280", "posttrain.lr=5e-4", "posttrain.steps=30")
HARD = ("star", "end_to_end", 1.5)
"""The setting that is reported to fail in the paper."""


def is_hard(recipe: Recipe) -> bool:
    """Whether a recipe has the setting that is reported to fail."""
    return setting_of(recipe, SETTING) == HARD


_check = partial(Check, stage="posttrain", axis=Axis("", "{x[0]}, {x[1]}, temperature {x[2]:g}", SETTING))
_others = partial(_check, where=lambda recipe: not is_hard(recipe))
_hard = partial(_check, where=is_hard, note="reported to fail")

CLAIM = Claim(
    "algorithms",
    "STaR, REINFORCE and GRPO lift with either reward and at each temperature; STaR at a high one with the "
    "end-to-end reward, reported to fail, is only measured",
    each_of(
        Grid("algorithms", ONE_UPDATE | SETTINGS, quick=QUICK, quick_settings=ONE_UPDATE | QUICK_SETTINGS),
        Grid("algorithms", SETTINGS, STAR, QUICK, QUICK_SETTINGS),
    ),
    (
        _others("greedy accuracy after RL", "greedy_accuracy", 1.0, 0.05),
        _hard("greedy accuracy after RL", "greedy_accuracy", None, 0.05),
        _others("greedy length after RL", "greedy_length_median", lambda place: float(place.d)),
        _hard("greedy length after RL", "greedy_length_median"),
        _check("sampled long share after RL", "sampled_long_share"),
        _check("sampled long responses that are gold, after RL", "sampled_chain_exactness"),
    ),
    order=50,
    pictures=pictures,
)
