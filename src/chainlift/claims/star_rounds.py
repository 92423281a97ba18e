"""Checks that claims on STaR's rounds share: the long share p_n after round n, the round of the flip, the accuracy."""

from __future__ import annotations

import math

from chainlift.claims.check import Axis, Check, Place
from chainlift.claims.finished import Finished
from chainlift.theory import star

ROUND = Axis("round", "{series}, round {x}", evaluations="number")
SERIES = "p_cot {recipe.mixture.last:g}"


def share_after(place: Place) -> float:
    """The predicted long share p_n after round n = x."""
    return star.star_share_after(place.p, place.x, 2)


def rounds_to_flip(run: Finished) -> float:
    """The number of the first evaluation with long greedy responses; infinite if there is none."""
    rows = enumerate(run.evaluations("posttrain"))
    return next((float(n) for n, row in rows if row["greedy"]["length_median"] > 1), math.inf)


def last_accuracy(run: Finished) -> float:
    """The greedy accuracy at the last evaluation."""
    return run.evaluations("posttrain")[-1]["greedy"]["accuracy"]


def end_checks(*, allowed: float) -> tuple[Check, Check]:
    """Checks of the number of rounds until greedy responses are long, and of the greedy accuracy after the last."""
    return (
        Check("rounds to flip", rounds_to_flip, lambda place: star.star_rounds_to_flip(place.p, 2), series=SERIES),
        Check("greedy accuracy", last_accuracy, 1.0, allowed, series=f"{SERIES}, last round", share=True),
    )
