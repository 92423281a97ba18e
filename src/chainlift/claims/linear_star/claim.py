"""Theorem 2: the long share of the linear model after each round of STaR is p_n.

The prediction starts at p_cot, not at the long share that next-token prediction has reached.
"""

from __future__ import annotations

from chainlift.claims import Check, Claim, Grid, P
from chainlift.claims.star_rounds import ROUND, SERIES, end_checks, share_after

QUICK = ("task.d=6", "pretrain.steps=3000", "posttrain.prompts=16384", "posttrain.steps=120")

CLAIM = Claim(
    "linear-star",
    "Theorem 2: STaR doubles the odds of a long answer each round, and greedy flips in O(log((1 - p) / p)) rounds",
    Grid("linear-star", {P: (0.1, 0.05, 0.02)}, quick=QUICK, quick_settings={P: (0.1,)}),
    (
        Check("long share (exact)", "exact.long_share", share_after, 0.02, "posttrain", axis=ROUND, series=SERIES),
        *end_checks(allowed=0.01),
    ),
    seeds=(0, 1, 2, 3, 4),
    order=80,
)
