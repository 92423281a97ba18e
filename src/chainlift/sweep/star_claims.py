"""The claims on STaR's rounds: the long share after each is p_n, for the linear model (Theorem 2) and a transformer.

The prediction starts at p_cot, not at what stage 1 was found to have learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe
from chainlift.sweep.claims import QUICK_STAGE_1, Claim, first_long
from chainlift.sweep.grid import Finished, cross
from chainlift.theory import star

LINEAR_P = (0.1, 0.05, 0.02)
QUICK_LINEAR_P = (0.1,)
QUICK_LINEAR = ("task.d=6", "pretrain.steps=3000", "posttrain.prompts=16384", "posttrain.updates=120")
QUICK_RECURSION = (
    "mixture.p_cot=0.25", *QUICK_STAGE_1, "pretrain.steps=350", "posttrain.prompts=3072", "posttrain.updates=120",
    "posttrain.minibatches=4",
)  # fmt: skip
Rounds = list[list[dict[str, Any]]]
"""Evaluations seed by seed, round by round."""


def linear_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """linear-star over p_cot."""
    if quick:
        return cross("linear-star", {"mixture.p_cot": QUICK_LINEAR_P}, seeds, *QUICK_LINEAR)
    return cross("linear-star", {"mixture.p_cot": LINEAR_P}, seeds)


def check_linear(finished: list[Finished]) -> list[Finding]:
    """Exact long shares within .02 of p_n in every seed, the round of the flip, and the accuracy after the last."""
    found = []
    for p in sorted({run.recipe.mixture.last for run in finished}, reverse=True):
        rounds = [run.evaluations("posttrain") for run in finished if run.recipe.mixture.last == p]
        for n in range(len(rounds[0])):
            values = tuple(rows[n]["exact"]["long_share"] for rows in rounds)
            found.append(_share("long share (exact)", p, n, values, tolerance=0.02))
        found += _flip_and_end(rounds, p, 0.01)
    return found


def recursion_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """star-recursion as it is."""
    return cross("star-recursion", {}, seeds, *(QUICK_RECURSION if quick else ()))


def check_recursion(finished: list[Finished]) -> list[Finding]:
    """Sampled long shares, whose interval over seeds must hold p_n, the round of the flip, and the last accuracy.

    A share is a mean over 2,048 samples, so that a seed's own error is about .01.
    """
    p, rounds = finished[0].recipe.mixture.last, [run.evaluations("posttrain") for run in finished]
    found = []
    for n in range(len(rounds[0])):
        sampled = [rows[n]["sampled"] for rows in rounds]
        intervals = [one["long_share_ci95"] for one in sampled]
        inside = sum(low <= star.star_share_after(p, n, 2) <= high for low, high in intervals)
        note = f"p_n is in {inside} of {len(rounds)} seeds' own intervals"
        values = tuple(one["long_share"] for one in sampled)
        found.append(_share("sampled long share", p, n, values, judged="interval", note=note))
    return [*found, *_flip_and_end(rounds, p, 0.02)]


def _share(quantity: str, p: float, n: int, values: tuple[float, ...], **judgement: Any) -> Finding:
    """The long shares after round n against p_n."""
    name, share = f"p_cot {p:g}", star.star_share_after(p, n, 2)
    return Finding(
        quantity, f"{name}, round {n}", values, share, x=n, axis="round", series=name, share=True, **judgement
    )


def _flip_and_end(rounds: Rounds, p: float, tolerance: float) -> list[Finding]:
    """The round after which greedy responses are long, exactly, and the greedy accuracy after the last one."""
    flips = tuple(first_long(rows) for rows in rounds)
    last = tuple(rows[-1]["greedy"]["accuracy"] for rows in rounds)
    return [
        Finding("rounds to flip", f"p_cot {p:g}", flips, star.star_rounds_to_flip(p, 2), 0),
        Finding("greedy accuracy", f"p_cot {p:g}, last round", last, 1.0, tolerance, share=True),
    ]


CLAIMS = (
    Claim(
        "linear-star",
        "Theorem 2: STaR doubles the odds of a long answer each round, and greedy flips in O(log((1 - p) / p)) rounds",
        linear_runs,
        check_linear,
        seeds=(0, 1, 2, 3, 4),
    ),
    Claim(
        "star-recursion",
        "On a transformer, too, the long share after each round of STaR is p_n: its odds double",
        recursion_runs,
        check_recursion,
    ),
)
