"""A marker that opens both forms of a demonstration moves the threshold; one on long forms alone does not.

Without a marker, a response becomes long by going on after y_1. With a marker the first token decides: `>` against the
likeliest other token.
"""

from __future__ import annotations

from functools import partial

from chainlift.claims import FIRST_LEAD, GO_ON, P_COT, Check, Claim, Grid, P, Threshold, each_of, having
from chainlift.claims.modulus.claim import ALLOWED, QUICK
from chainlift.theory.closed_forms import threshold

NEAR_THIRD, NEAR_HALF = (0.25, 0.3, 0.3667, 0.4167), (0.4, 0.46, 0.54, 0.6)
QUICK_THIRD, QUICK_HALF = (0.2667, 0.4), (0.4, 0.6)


def _grid(source: str, shares: tuple[float, ...], quick_shares: tuple[float, ...], fixed: str) -> Grid:
    return Grid(source, {P: shares}, (fixed,), QUICK, {P: quick_shares})


def _threshold(marker: str, key: str) -> Threshold:
    predicted, where = threshold(2, marker=marker == "both"), having("task.marker", marker)
    return Threshold(predicted, ALLOWED * predicted, key=key, series=f"marker {marker}", where=where)


_check = partial(Check, axis=P_COT, series="marker {recipe.task.marker}")

CLAIM = Claim(
    "marker",
    "A marker that opens both forms moves the threshold from 1/3 to 1/2; one on long forms alone leaves it",
    each_of(
        _grid("modulus", NEAR_THIRD, QUICK_THIRD, "task.modulus=2"),  # shared with the claim `modulus`
        _grid("marker", NEAR_THIRD, QUICK_THIRD, "task.marker=long"),
        _grid("marker", NEAR_HALF, QUICK_HALF, "task.marker=both"),
    ),
    (
        _threshold("none", GO_ON),
        _threshold("long", FIRST_LEAD),
        _threshold("both", FIRST_LEAD),
        _check("greedy long share", "greedy_long_share"),
        _check("sampled long share", "sampled_long_share", lambda place: place.x, 0.04),
    ),
    order=180,
)
