"""The control that sees no chain: what as many demonstrations do for a transformer if all of them are short."""

from __future__ import annotations

from chainlift.claims import Axis, Check, Claim, Grid

DIGITS = {"task.d": (2, 3, 4, 5, 6, 8, 10, 15, 20, 30)}
QUICK_DIGITS, QUICK = {"task.d": (3, 15)}, ("pretrain.steps=200", "evaluate.every=200", "model.width=32")
SMALL = 15
"""From this d on the learner is claimed to be at chance; below it is measured."""
D = Axis("d", "d {x}", ("task.d",))
ONLY_SHORT = (
    "mixture.p_cot=0", "posttrain=null", "continued_pretrain=null", "pretrain.steps=1500", "pretrain.batch_size=256",
    "evaluate.every=1500",
)  # fmt: skip
"""384,000 demonstrations."""

CLAIM = Claim(
    "direct-control",
    "Without a single chain (p_cot = 0) a transformer stays at chance from some small d on, at the same budget",
    Grid("tiny", DIGITS, ONLY_SHORT, QUICK, QUICK_DIGITS),
    (Check("greedy accuracy, p_cot 0", "greedy_accuracy", lambda at: 0.5 if at.x >= SMALL else None, 0.05, axis=D),),
    order=130,
)
