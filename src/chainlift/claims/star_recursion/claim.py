"""The long share of a transformer after each round of STaR is p_n.

The prediction starts at p_cot, not at the long share that next-token prediction has reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chainlift.claims import QUICK_SUMS, Check, Claim, Finished, Grid
from chainlift.claims.star_rounds import ROUND, SERIES, end_checks, share_after
from chainlift.measure.finding import Finding

QUICK = (
    "mixture.p_cot=0.25", *QUICK_SUMS, "pretrain.steps=350", "posttrain.prompts=3072", "posttrain.steps=120",
    "posttrain.minibatches=4",
)  # fmt: skip
LONG_SHARE = Check("sampled long share", "sampled.long_share", share_after, 0.0, "posttrain", "interval", ROUND, SERIES)


def long_shares(finished: Sequence[Finished]) -> list[Finding]:
    """Sampled long shares, whose interval over seeds must contain p_n; a note counts the seeds' own intervals that do.

    A seed's share is a mean over 2,048 samples, with a standard error of about .01.
    """
    rounds = zip(*(run.evaluations("posttrain") for run in finished), strict=True)
    findings = []
    for finding, rows in zip(LONG_SHARE(finished), rounds, strict=True):
        assert finding.predicted is not None
        intervals = [row["sampled"]["long_share_ci95"] for row in rows]
        num_inside = sum(low <= finding.predicted <= high for low, high in intervals)
        findings.append(replace(finding, note=f"p_n is in {num_inside} of {len(intervals)} seeds' own intervals"))
    return findings


CLAIM = Claim(
    "star-recursion",
    "On a transformer, too, the long share after each round of STaR is p_n: its odds double",
    Grid("star-recursion", quick=QUICK),
    (long_shares, *end_checks(allowed=0.02)),
    order=90,
)
