"""The claims on next-token prediction of parity with a transformer: it stalls below p_cot = 1/3, whatever its size, and
RL lifts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe
from chainlift.sweep.claims import QUICK_STAGE_1, Claim, after, by_seed
from chainlift.sweep.grid import Finished, cross
from chainlift.sweep.over_p import GO_ON, P, by_quantity, is_share, over_p, threshold
from chainlift.sweep.parity_pictures import NEAR, lifts_pictures, stalls_pictures, threshold_pictures
from chainlift.theory import closed_forms
from chainlift.theory.linear_model import go_on_log_odds

SHARES = (0.1, 0.2, 0.25, 0.29, 0.32, 0.35, 0.38, 0.42, 0.5, 0.7)
QUICK_SHARES = (0.15, 0.26, 0.41, 0.5)
QUICK_THRESHOLD = ("task.d=12", *QUICK_STAGE_1, "pretrain.steps=280", "evaluate.every=280")
QUICK_HEADLINE = (
    "task.d=12", *QUICK_STAGE_1, "pretrain.steps=280", "posttrain.prompts=64", "posttrain.lr=5e-4",
    "evaluate.every=40",
)  # fmt: skip
QUICK_STALLS = ("task.d=12", *QUICK_STAGE_1, "pretrain.steps=600")
LAYERS, WIDTHS = (2, 4), (128, 256)
QUICK_LAYERS, QUICK_WIDTHS = (2, 3), (64,)
QUICK_CAPACITY = ("task.d=12", *QUICK_STAGE_1, "pretrain.steps=280", "evaluate.every=70")
SOON = 20
"""Updates within which RL is claimed to lift."""


def stalls_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `ntp-stalls`: a million demonstrations."""
    return cross("ntp-stalls", {}, seeds, *(QUICK_STALLS if quick else ()))


def check_stalls(finished: list[Finished]) -> list[Finding]:
    """Greedy at chance and of length 1 at the end, sampled long share p_cot, and the whole course of the accuracy."""
    p = finished[0].recipe.mixture.last
    ends: list[tuple[str, str, float | None, float]] = [
        ("greedy accuracy", "greedy_accuracy", 0.5, 0.05),
        ("greedy length (median)", "greedy_length_median", 1.0, 0.0),
        ("sampled long share", "sampled_long_share", p, 0.04),
        ("sampled accuracy", "sampled_accuracy", closed_forms.sampled_accuracy(p, 2), 0.04),
        ("sampled long responses that are gold", "sampled_chain_exactness", None, 0.0),
    ]
    found = [
        Finding(
            f"{name} at the end",
            "",
            tuple(after("pretrain", key)(run) for run in finished),
            predicted,
            tolerance,
            share=is_share(key),
        )
        for name, key, predicted, tolerance in ends
    ]
    courses = [run.evaluations("pretrain") for run in finished]
    for rows in zip(*courses, strict=True):
        x = rows[0]["sequences"]
        if x > 0:
            values = tuple(row["greedy"]["accuracy"] for row in rows)
            setting = f"{x:,} demonstrations"
            found.append(Finding("greedy accuracy", setting, values, x=x, axis="demonstrations", share=True))
    return found


def lifts_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `headline`."""
    return cross("headline", {}, seeds, *(QUICK_HEADLINE if quick else ()))


def check_lifts(finished: list[Finished]) -> list[Finding]:
    """Before RL at chance and short; soon and at the end of RL right and long; the baseline as before."""
    d: int = finished[0].recipe.setting("task.d")
    ends: list[tuple[str, str, str, float | None, float]] = [
        ("greedy accuracy after NTP", "pretrain", "greedy_accuracy", 0.5, 0.05),
        ("greedy length after NTP", "pretrain", "greedy_length_median", 1.0, 0.0),
        ("greedy accuracy after RL", "posttrain", "greedy_accuracy", 1.0, 0.01),
        ("greedy length after RL", "posttrain", "greedy_length_median", float(d), 0.0),
        ("greedy accuracy where NTP went on instead", "continued_pretrain", "greedy_accuracy", 0.5, 0.05),
        ("greedy length where NTP went on instead", "continued_pretrain", "greedy_length_median", 1.0, 0.0),
    ]
    found = [
        Finding(name, "", tuple(after(stage, key)(run) for run in finished), predicted, tolerance, share=is_share(key))
        for name, stage, key, predicted, tolerance in ends
    ]
    courses = [run.evaluations("posttrain") for run in finished]
    for rows in zip(*courses, strict=True):
        values = tuple(row["greedy"]["accuracy"] for row in rows)
        predicted = 1.0 if rows[0]["step"] >= SOON else None
        setting, x = f"{rows[0]['step']} updates", rows[0]["step"]
        found.append(
            Finding("greedy accuracy during RL", setting, values, predicted, 0.01, x=x, axis="RL updates", share=True)
        )
    share = tuple(run.summary["posttrain"]["rollouts"] / run.summary["pretrain"]["sequences"] for run in finished)
    found.append(Finding("RL's samples as a share of NTP's demonstrations", "", share))
    return found


def threshold_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `threshold` over p_cot."""
    if quick:
        return cross("threshold", {P: QUICK_SHARES}, seeds, *QUICK_THRESHOLD)
    return cross("threshold", {P: SHARES}, seeds)


def check_threshold(finished: list[Finished]) -> list[Finding]:
    """The threshold by both estimates, and below and above it what greedy and sampled responses are."""
    at = closed_forms.threshold(2)
    return [
        *threshold(finished, at, 0.03, near=NEAR),
        *over_p(finished, GO_ON, "log-odds of going on", lambda p: go_on_log_odds(p, 2), 0.2),
        *over_p(finished, "greedy_long_share", "greedy long share", _far_from(at, 0.0, 1.0), 0.05),
        *over_p(finished, "greedy_accuracy", "greedy accuracy", _far_from(at, 0.5, 1.0), 0.05),
        *over_p(finished, "sampled_long_share", "sampled long share", lambda p: p, 0.04),
        *over_p(finished, "sampled_chain_exactness", "sampled long responses that are gold"),
    ]


def _far_from(threshold: float, below: float, above: float) -> Callable[[float], float | None]:
    """What is predicted away from the threshold, where a wobble of the stop decision does not flip it."""

    def predicted(p: float) -> float | None:
        return None if abs(p - threshold) < 0.06 else below if p < threshold else above

    return predicted


def capacity_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `capacity` over layers and width."""
    layers, widths, fixed = (QUICK_LAYERS, QUICK_WIDTHS, QUICK_CAPACITY) if quick else (LAYERS, WIDTHS, ())
    return cross("capacity", {"model.layers": layers, "model.width": widths}, seeds, *fixed)


def check_capacity(finished: list[Finished]) -> list[Finding]:
    """For each size: greedy at chance and short, sampled long share p_cot, and whether the chain is learned at all."""
    p = finished[0].recipe.mixture.last
    lines: list[tuple[str, str, float | None, float]] = [
        ("greedy accuracy", "greedy_accuracy", 0.5, 0.05),
        ("greedy length (median)", "greedy_length_median", 1.0, 0.0),
        ("sampled long share", "sampled_long_share", p, 0.04),
        ("sampled long responses that are gold", "sampled_chain_exactness", None, 0.0),
    ]
    found = []
    for quantity, key, predicted, tolerance in lines:
        for (layers, width), values in by_seed(finished, after("pretrain", key), "model.layers", "model.width").items():
            setting, series = f"layers {layers}, width {width}", f"layers {layers}"
            found.append(
                Finding(
                    quantity,
                    setting,
                    values,
                    predicted,
                    tolerance,
                    x=width,
                    axis="width",
                    series=series,
                    share=is_share(key),
                )
            )
    return by_quantity(found)


CLAIMS = (
    Claim(
        "ntp-stalls",
        "p_cot = .25: next-token prediction alone stays at greedy accuracy 1/2 and length 1 however long it trains, "
        "while sampled responses are long with p_cot",
        stalls_runs,
        check_stalls,
        pictures=stalls_pictures,
    ),
    Claim(
        "rl-lifts",
        "From that checkpoint, RL reaches greedy accuracy .99 and full length within about 20 updates",
        lifts_runs,
        check_lifts,
        seeds=tuple(range(10)),
        pictures=lifts_pictures,
    ),
    Claim(
        "threshold",
        "Greedy answers become long at p_cot = 1/3, and are a coin flip below",
        threshold_runs,
        check_threshold,
        seeds=tuple(range(10)),
        pictures=threshold_pictures,
    ),
    Claim(
        "capacity",
        "Deeper and wider transformers do not rescue next-token prediction below the threshold",
        capacity_runs,
        check_capacity,
    ),
)
