"""Multiplication of held-out factors: short and poor after next-token prediction, long and right after RL."""

from __future__ import annotations

from functools import partial

from chainlift.claims import Axis, Check, Claim, Grid, each_of

QUICK = (
    "model.layers=2", "pretrain.batch_size=128", "pretrain.muon_lr=1e-2", "pretrain.lr=2e-3", "pretrain.steps=400",
    "evaluate.every=400", "posttrain.prompts=64", "posttrain.steps=40", "posttrain.lr=3e-4",
)  # fmt: skip
_check = partial(Check, axis=Axis("digits", "n {x}", ("task.n",)))

CLAIM = Claim(
    "multiplication",
    "Multiplication of n digits: short and poor after next-token prediction, long and right after RL",
    each_of(Grid("multiplication-2", quick=QUICK), Grid("multiplication-3", quick=None)),
    (
        _check("greedy accuracy after NTP", "greedy_accuracy"),
        _check("greedy long share after NTP", "greedy_long_share", 0.0, 0.1),
        _check("sampled long share after NTP", "sampled_long_share", lambda place: place.p, 0.08),
        _check("sampled long responses that are gold, after NTP", "sampled_chain_exactness"),
        _check("greedy accuracy after RL", "greedy_accuracy", 1.0, 0.1, "posttrain"),
        _check("greedy long share after RL", "greedy_long_share", 1.0, 0.05, "posttrain"),
    ),
    order=140,
)
