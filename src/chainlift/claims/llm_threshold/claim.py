"""On a language model greedy answers become long at p_cot = 1/(1 + q), where q is the mass of the likeliest opening.

With one marker on all long answers q = 1; with two markers, of which a hash of the problem chooses, q = 1/2.
"""

from __future__ import annotations

import math

from chainlift.claims import LONG_OPENING, P_COT, Check, Claim, Grid, P, Place, Threshold, each_of
from chainlift.claims.llm_threshold.figure import pictures
from chainlift.stages.recipe import Recipe
from chainlift.text.task import is_text
from chainlift.theory.closed_forms import critical_share

ONE, TWO = "' Let us see.'", "[' Let us see.', ' Well then:']"
SHARES = {ONE: (0.35, 0.42, 0.47, 0.53, 0.58, 0.65), TWO: (0.52, 0.59, 0.64, 0.69, 0.74, 0.8)}
QUICK = ("task.max_steps=2", "task.max_number=10", "pretrain.steps=100", "pretrain.batch_size=64")
MARKER = "task.template.marker_text"
ALLOWED = 0.03


def mass(recipe: Recipe) -> float:
    """The mass q of the likeliest opening."""
    assert is_text(recipe.task)
    value = recipe.task.template.opening_mass
    assert value is not None
    return value


def log_odds(place: Place) -> float:
    """Predicted log-odds of an opening of long answers against that of short ones, log(p q / (1 - p))."""
    return math.log(place.p * mass(place.recipe) / (1 - place.p))


def series(q: float) -> str:
    """The name of the runs with one mass."""
    return f"q = {q:g}"


def _checks(q: float) -> list[Threshold | Check]:
    threshold = critical_share(q)

    def step(place: Place) -> float | None:
        return None if abs(place.p - threshold) < 0.06 else float(place.p > threshold)

    def at(recipe: Recipe) -> bool:
        return mass(recipe) == q

    here = {"axis": P_COT, "series": series(q), "where": at}
    return [
        Threshold(threshold, ALLOWED, key=LONG_OPENING, series=series(q), where=at),
        Check("log-odds of the long opening against the short one", LONG_OPENING, log_odds, 0.2, **here),
        Check("probability of the first long opening", "long_prefix_probability", lambda x: x.p * q, 0.03, **here),
        Check("greedy long share", "greedy_long_share", step, 0.05, **here),
        # The mean of five calibrated seeds is off by more once in 10,000 times, for 12 shares once in 800 times.
        Check("sampled long share", "sampled_long_share", lambda place: place.p, 0.04, check="mean", **here),
    ]


CLAIM = Claim(
    "llm-threshold",
    "Greedy answers of a language model become long at p_cot = 1/(1 + q), q the mass of the likeliest opening",
    each_of(
        *(
            Grid("llm-threshold", {P: shares}, (f"{MARKER}={text}",), quick=QUICK, quick_settings={P: shares[::2]})
            for text, shares in SHARES.items()
        )
    ),
    [*_checks(1.0), *_checks(0.5)],
    seeds=(5, 6, 7, 8, 9),
    order=205,
    in_all=False,
    pictures=pictures,
)
