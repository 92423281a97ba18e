"""The claim on STaR's rounds, on a transformer: the long share after each follows p_n."""

from __future__ import annotations

from collections.abc import Sequence

from chainlift.measure.finding import Finding
from chainlift.recipe import Recipe
from chainlift.sweep.claims import Claim, first_long
from chainlift.sweep.grid import Finished, cross
from chainlift.theory import star


def recursion_runs(seeds: Sequence[int]) -> list[Recipe]:
    """star-recursion as it is."""
    return cross("star-recursion", {}, seeds)


def check_recursion(finished: list[Finished]) -> list[Finding]:
    """Sampled long share and greedy accuracy after each round; the prediction starts at p_cot, not at what was found.

    A share is a mean over 2,048 samples, so that a seed's own error is about .01.
    """
    recipe, rounds = finished[0].recipe, [run.evaluations("posttrain") for run in finished]
    p = recipe.mixture.p_cot
    found = []
    for n in range(len(rounds[0])):
        values = tuple(rows[n]["sampled"]["long_share"] for rows in rounds)
        inside = sum(low <= star.star_share_after(p, n, 2) <= high for low, high in _intervals(rounds, n))
        found.append(
            Finding(
                "sampled long share",
                f"p_cot {p:g}, round {n}",
                values,
                star.star_share_after(p, n, 2),
                judged="interval",
                note=f"p_n is in {inside} of {len(rounds)} seeds' own intervals",
                x=n,
                axis="round",
                series=f"p_cot {p:g}",
            )
        )
    flips = tuple(first_long(rows) for rows in rounds)
    found.append(Finding("rounds to flip", f"p_cot {p:g}", flips, star.star_rounds_to_flip(p, 2), 0))
    last = tuple(rows[-1]["greedy"]["accuracy"] for rows in rounds)
    return [*found, Finding("greedy accuracy", "last round", last, 1.0, 0.02)]


def _intervals(rounds: list[list[dict[str, dict[str, tuple[float, float]]]]], n: int) -> list[tuple[float, float]]:
    """Wilson's 95 % intervals of each seed's long share after round n."""
    return [rows[n]["sampled"]["long_share_ci95"] for rows in rounds]


CLAIMS = (
    Claim(
        "star-recursion",
        "On a transformer, too, the long share after each round of STaR is p_n: its odds double",
        recursion_runs,
        check_recursion,
    ),
)
