"""The control without chains: a transformer on the same number of demonstrations, all of them short."""

from __future__ import annotations

from chainlift.claims import Axis, Check, Claim, Grid, Place

DIGITS = {"task.d": (2, 3, 4, 5, 6, 8, 10, 15, 20, 30)}
QUICK_DIGITS, QUICK = {"task.d": (3, 15)}, ("pretrain.steps=200", "evaluate.every=200", "model.width=32")
MIN_CHANCE_DIGITS = 15
"""From this d on the accuracy is predicted to be chance; below, it is only measured."""
D = Axis("d", "d {x}", ("task.d",))
ONLY_SHORT = (
    "mixture.p_cot=0", "posttrain=null", "continued_pretrain=null", "pretrain.steps=1500", "pretrain.batch_size=256",
    "evaluate.every=1500",
)  # fmt: skip
"""384,000 demonstrations."""


def predicted_accuracy(place: Place) -> float | None:
    """Chance from MIN_CHANCE_DIGITS on; no prediction below."""
    return 0.5 if place.x >= MIN_CHANCE_DIGITS else None


CLAIM = Claim(
    "direct-control",
    "Without a single chain (p_cot = 0) a transformer stays at chance from some small d on, at the same budget",
    Grid("tiny", DIGITS, ONLY_SHORT, QUICK, QUICK_DIGITS),
    (Check("greedy accuracy, p_cot 0", "greedy_accuracy", predicted_accuracy, 0.05, axis=D),),
    order=130,
)
