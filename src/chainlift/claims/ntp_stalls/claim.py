"""Next-token prediction of parity alone stalls below p_cot = 1/3, however long it trains."""

from __future__ import annotations

from chainlift.claims import QUICK_SUMS, Axis, Check, Claim, Grid
from chainlift.claims.ntp_stalls.figure import pictures
from chainlift.theory.closed_forms import sampled_accuracy

DEMONSTRATIONS = Axis("demonstrations", "{x:,} demonstrations", evaluations="sequences", from_start=False)

CLAIM = Claim(
    "ntp-stalls",
    "p_cot = .25: next-token prediction alone stays at greedy accuracy 1/2 and length 1 however long it trains, "
    "while sampled responses are long with p_cot",
    Grid("ntp-stalls", quick=("task.d=12", *QUICK_SUMS, "pretrain.steps=600")),
    (
        Check("greedy accuracy at the end", "greedy_accuracy", 0.5, 0.05),
        Check("greedy length (median) at the end", "greedy_length_median", 1.0),
        Check("sampled long share at the end", "sampled_long_share", lambda place: place.p, 0.04),
        Check("sampled accuracy at the end", "sampled_accuracy", lambda place: sampled_accuracy(place.p, 2), 0.04),
        Check("sampled long responses that are gold at the end", "sampled_chain_exactness"),
        Check("greedy accuracy", "greedy.accuracy", axis=DEMONSTRATIONS),
    ),
    order=10,
    pictures=pictures,
)
