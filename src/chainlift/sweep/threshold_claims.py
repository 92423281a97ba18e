"""The claims on where greedy responses become long: sums modulo K, forms with a marker, chains that leap."""

from __future__ import annotations

from collections.abc import Sequence

from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe
from chainlift.sweep.claims import QUICK_STAGE_1, Claim
from chainlift.sweep.grid import Finished, cross
from chainlift.sweep.over_p import FIRST_LEAD, GO_ON, P, by_quantity, over_p, threshold
from chainlift.theory import closed_forms

MODULI = (2, 3, 5, 7)
AROUND = (0.75, 0.9, 1.1, 1.25)
"""Times the predicted threshold: the p_cot at which it is measured."""
ALLOWED = 0.1
"""Of the predicted threshold, by which each seed's may differ."""
MARKERS = {"none": (2, False), "long": (2, False), "both": (2, True)}
MARKED_P = {"none": (0.25, 0.3, 0.3667, 0.4167), "long": (0.25, 0.3, 0.3667, 0.4167), "both": (0.4, 0.46, 0.54, 0.6)}
LEAP_P = (0.2, 0.28, 0.38, 0.45)
QUICK_MODULI, QUICK_AROUND = (2, 3), (0.8, 1.2)
QUICK_MARKED_P = {"none": (0.2667, 0.4), "long": (0.2667, 0.4), "both": (0.4, 0.6)}
QUICK_LEAP_P = (0.25, 0.42)
QUICK = (*QUICK_STAGE_1, "pretrain.steps=280", "evaluate.every=280")
QUICK_LEAP = (*QUICK_STAGE_1, "pretrain.steps=280", "evaluate.every=280")


def modulus_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `modulus` over K, and over p_cot around each K's threshold."""
    chosen = []
    for modulus in QUICK_MODULI if quick else MODULI:
        around = QUICK_AROUND if quick else AROUND
        shares = [round(factor * closed_forms.threshold(modulus), 4) for factor in around]
        chosen += cross("modulus", {P: shares}, seeds, f"task.modulus={modulus}", *(QUICK if quick else ()))
    return chosen


def check_modulus(finished: list[Finished]) -> list[Finding]:
    """For each K the threshold, and on either side of it what greedy and sampled responses are."""
    found: list[Finding] = []
    of = {K: [run for run in finished if run.recipe.setting("task.modulus") == K] for K in MODULI}
    of = {K: runs for K, runs in of.items() if runs}
    for K in of:
        at = closed_forms.threshold(K)
        found += threshold(of[K], at, ALLOWED * at, series=f"K {K}")
    for quantity, key in (("greedy long share", "greedy_long_share"), ("greedy accuracy", "greedy_accuracy")):
        for K in of:
            found += over_p(of[K], key, quantity, series=f"K {K}")
    for K in of:
        found += over_p(of[K], "sampled_long_share", "sampled long share", lambda p: p, 0.04, series=f"K {K}")
    for K in of:
        found += over_p(of[K], "sampled_chain_exactness", "sampled long responses that are gold", series=f"K {K}")
    return by_quantity(found)


def marker_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `marker` with each choice of markers, over p_cot around the predicted threshold."""
    shares, fixed = (QUICK_MARKED_P, QUICK) if quick else (MARKED_P, ())
    without = cross("modulus", {P: shares["none"]}, seeds, "task.modulus=2", *fixed)  # shared with that claim
    marked = [cross("marker", {P: shares[name]}, seeds, f"task.marker={name}", *fixed) for name in ("long", "both")]
    return [*without, *marked[0], *marked[1]]


def check_marker(finished: list[Finished]) -> list[Finding]:
    """The threshold without a marker, with one on long forms, and with one on both.

    It is decided by going on after y_1 where there is none, else by the first token: `>` against the likeliest other.
    """
    found: list[Finding] = []
    of = {name: [run for run in finished if run.recipe.setting("task.marker") == name] for name in MARKERS}
    for name, (modulus, on_both) in MARKERS.items():
        at = closed_forms.threshold(modulus, marker=on_both)
        key, decision = (GO_ON, "going on") if name == "none" else (FIRST_LEAD, "the opening token")
        found += threshold(of[name], at, ALLOWED * at, key=key, decision=decision, series=f"marker {name}")
    for name in MARKERS:
        found += over_p(of[name], "greedy_long_share", "greedy long share", series=f"marker {name}")
    for name in MARKERS:
        found += over_p(
            of[name], "sampled_long_share", "sampled long share", lambda p: p, 0.04, series=f"marker {name}"
        )
    return by_quantity(found)


def leap_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `leap` over p_cot."""
    return cross("leap", {P: QUICK_LEAP_P}, seeds, *QUICK_LEAP) if quick else cross("leap", {P: LEAP_P}, seeds)


def check_leap(finished: list[Finished]) -> list[Finding]:
    """The threshold against the blind learner's 1/3, accuracy below it, and whether chains are learned at all."""
    at = closed_forms.threshold(2)
    return [
        *threshold(finished, at, ALLOWED * at),
        *over_p(finished, "greedy_accuracy", "greedy accuracy", _below_third, 0.05),
        *over_p(finished, "greedy_long_share", "greedy long share"),
        *over_p(finished, "sampled_long_share", "sampled long share", lambda p: p, 0.04),
        *over_p(finished, "sampled_chain_exactness", "sampled long responses that are gold"),
    ]


def _below_third(p: float) -> float | None:
    """A blind learner is at chance below 1/3; above it the chain's own accuracy counts, which is measured."""
    return 0.5 if p < 0.3 else None


CLAIMS = (
    Claim(
        "modulus",
        "Sums modulo K: greedy responses become long at p_cot 1 / (K + 1); a third is parity's, the law is of mixtures",
        modulus_runs,
        check_modulus,
    ),
    Claim(
        "marker",
        "A marker that opens both forms moves the threshold from 1/3 to 1/2; one on long forms alone leaves it",
        marker_runs,
        check_marker,
    ),
    Claim(
        "leap",
        "Chains that show every second step: below 1/3 next-token prediction stays at chance, like a blind learner",
        leap_runs,
        check_leap,
    ),
)
