"""Demonstrations with slips: the condition under which a round of STaR makes long answers more frequent."""

from __future__ import annotations

from functools import partial

from chainlift.claims import QUICK_SUMS, Axis, Check, Claim, Grid, Place, having
from chainlift.theory.noisy_chain import chain_accuracy, star_next_share

NOISE = (0.01, 0.035, 0.067, 0.11)
"""At d = 10, chains are right with probability .90, .70, .50 and .31."""
QUICK_NOISE = (0.01, 0.11)
REWARDS = {"posttrain.reward": ("chain", "end_to_end")}
QUICK = (
    *QUICK_SUMS, "pretrain.steps=280", "evaluate.every=280", "posttrain.prompts=3072", "posttrain.minibatches=4",
)  # fmt: skip
_check = partial(Check, axis=Axis("noise", "{series} noise {x:g}", ("task.noise",)))
_after_rl = partial(_check, stage="posttrain", series="{recipe.stages[posttrain].reward}")
_chain = partial(_check, where=having("posttrain.reward", "chain"))


def right_chains(place: Place) -> float:
    """The predicted share of right chains."""
    return chain_accuracy(place.d, place.x)


def share_after_round(place: Place) -> float:
    """The predicted long share after one round of STaR."""
    reward = "chain" if place.recipe.setting("posttrain.reward") == "chain" else "end_to_end"
    return star_next_share(place.p, place.d, 2, place.x, reward)


CLAIM = Claim(
    "noisy-chain",
    "Chains with slips: a round of STaR makes long answers more frequent iff they earn their reward more often "
    "than short ones, with the chain reward iff more than half are right",
    Grid("noisy-chain", {"task.noise": NOISE, **REWARDS}, (), QUICK, {"task.noise": QUICK_NOISE, **REWARDS}),
    (
        _chain("sampled chains that are right", "sampled_chain_exactness", right_chains, 0.06),
        _chain("sampled long share after next-token prediction", "sampled_long_share", lambda place: place.p, 0.04),
        _after_rl("sampled long share after a round of STaR", "sampled_long_share", share_after_round, 0.04),
        _chain("right chains after a round, chain reward", "sampled_chain_exactness", stage="posttrain"),
    ),
    order=150,
)
