"""The smallest share of long demonstrations with which RL lifts: RL needs chains that next-token prediction learned."""

from __future__ import annotations

from functools import partial

from chainlift.claims import P_COT, QUICK_SUMS, Check, Claim, Grid, P, each_of
from chainlift.claims.linear_ntp.claim import has_chains

SHARES = (0, 0.01, 0.02, 0.05, 0.1)
RAREST, MORE_STEPS = 0.01, 3200
"""At this p_cot some seeds learn no chain in the recipe's 1,600 steps, so it also runs with this many."""
QUICK_SHARES = (0, 0.1)
QUICK = (*QUICK_SUMS, "pretrain.steps=300", "posttrain.steps=40", "posttrain.lr=5e-4")
GOLD = "sampled long responses that are gold, after"
_after_ntp = partial(Check, axis=P_COT, series="{recipe.stages[pretrain].steps:,} steps")
_after_rl = partial(_after_ntp, stage="posttrain")

CLAIM = Claim(
    "rare-long",
    "One long demonstration in a hundred is enough for RL to lift; without any it cannot",
    each_of(
        Grid("rare-long", {P: SHARES}, quick=QUICK, quick_settings={P: QUICK_SHARES}),
        Grid("rare-long", {P: (RAREST,)}, (f"pretrain.steps={MORE_STEPS}",), None),
    ),
    (
        _after_ntp("greedy accuracy after NTP", "greedy_accuracy", 0.5, 0.05),
        _after_ntp("sampled long share after NTP", "sampled_long_share", lambda place: place.x, 0.02),
        _after_rl("greedy accuracy after RL", "greedy_accuracy", lambda place: 1.0 if place.x else 0.5, 0.05),
        _after_rl("greedy length after RL", "greedy_length_median", lambda place: place.d if place.x else 1),
        _after_ntp(f"{GOLD} NTP", "sampled_chain_exactness", where=has_chains),
        _after_rl(f"{GOLD} RL", "sampled_chain_exactness", where=has_chains),
    ),
    order=160,
)
