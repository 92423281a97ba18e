"""The long share of a transformer after each round of STaR is p_n.

The prediction starts at p_cot, not at what next-token prediction was found to have learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chainlift.claims import QUICK_SUMS, Check, Claim, Finished, Grid
from chainlift.claims.star_rounds import ROUND, SERIES, ends, share_after
from chainlift.measure.finding import Finding

QUICK = (
    "mixture.p_cot=0.25", *QUICK_SUMS, "pretrain.steps=350", "posttrain.prompts=3072", "posttrain.steps=120",
    "posttrain.minibatches=4",
)  # fmt: skip
SHARES = Check("sampled long share", "sampled.long_share", share_after, 0.0, "posttrain", "interval", ROUND, SERIES)


def shares(finished: Sequence[Finished]) -> list[Finding]:
    """Sampled long shares, whose interval over seeds must hold p_n, with how many seeds' own intervals do.

    A share is a mean over 2,048 samples, so that a seed's own error is about .01.
    """
    rounds = zip(*(run.evaluations("posttrain") for run in finished), strict=True)
    lines = []
    for line, rows in zip(SHARES(finished), rounds, strict=True):
        assert line.predicted is not None
        intervals = [row["sampled"]["long_share_ci95"] for row in rows]
        inside = sum(low <= line.predicted <= high for low, high in intervals)
        lines.append(replace(line, note=f"p_n is in {inside} of {len(intervals)} seeds' own intervals"))
    return lines


CLAIM = Claim(
    "star-recursion",
    "On a transformer, too, the long share after each round of STaR is p_n: its odds double",
    Grid("star-recursion", quick=QUICK),
    (shares, *ends(allowed=0.02)),
    order=90,
)
