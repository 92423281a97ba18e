"""The earliest checkpoint of next-token prediction from which RL makes answers right."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from chainlift.claims import QUICK_SUMS, Axis, Check, Claim, Finished, Grid, Place, by_seed
from chainlift.claims.check import findings
from chainlift.claims.switch_time.figure import pictures
from chainlift.measure.finding import Finding

SWITCH = "pretrain.steps"
STEPS = (50, 100, 150, 175, 200, 400)
QUICK_STEPS = (60, 250)
QUICK = ("task.d=12", *QUICK_SUMS, "pretrain.schedule=constant", "posttrain.lr=5e-4", "posttrain.steps=30")
LEARNED, NOT_LEARNED = 0.9, 0.1
"""Shares of the long responses before RL that are gold. From LEARNED on, RL is predicted to make answers right; up to
NOT_LEARNED, they are predicted to stay a coin flip."""
_check = partial(Check, axis=Axis("switch", "{x} updates", (SWITCH,)))
_after = partial(_check, stage="posttrain")


def gold_share(run: Finished) -> float:
    """The share of the long responses before RL that are gold; 0 without long responses."""
    return run.summary["pretrain"]["sampled_chain_exactness"] or 0.0


def predicted_accuracy(finished: Sequence[Finished]) -> dict[int, float | None]:
    """{updates before RL: predicted greedy accuracy after RL}: 1 if chains are learned, .5 if not, None in between.

    Without checkpoints of both kinds, nothing is predicted.
    """
    shares = by_seed(finished, gold_share, SWITCH)
    predicted = {
        steps: 1.0 if min(seeds) >= LEARNED else 0.5 if max(seeds) <= NOT_LEARNED else None
        for steps, seeds in shares.items()
    }
    return predicted if {0.5, 1.0} <= set(predicted.values()) else dict.fromkeys(predicted)


def after_rl(finished: Sequence[Finished]) -> list[Finding]:
    """Findings on accuracy and length after RL from each checkpoint."""
    accuracy = predicted_accuracy(finished)

    def length(place: Place) -> float | None:
        return float(place.d) if accuracy[place.x] == 1 else None

    rows = (
        _after("greedy accuracy after RL", "greedy_accuracy", lambda place: accuracy[place.x], 0.05),
        _after("sampled accuracy after RL", "sampled_accuracy"),
        _after("greedy length after RL", "greedy_length_mean", length, 0.5),
        _after("sampled length after RL", "sampled_length_mean"),
    )
    return findings(rows, finished)


CLAIM = Claim(
    "switch-time",
    "RL makes answers right from checkpoints at which next-token prediction has learned the chain; from earlier "
    "ones they stay a coin flip, whatever becomes of their length",
    Grid("switch-time", {SWITCH: STEPS}, quick=QUICK, quick_settings={SWITCH: QUICK_STEPS}),
    (
        _check("sampled long responses that are gold, before RL", gold_share, share=True),
        _check("sampled long share before RL", "sampled_long_share"),
        _check("greedy accuracy before RL", "greedy_accuracy"),
        after_rl,
    ),
    order=60,
    pictures=pictures,
)
