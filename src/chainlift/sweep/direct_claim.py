"""The control that sees no chain: what as many demonstrations do for a transformer if all of them are short."""

from __future__ import annotations

from collections.abc import Sequence

from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe
from chainlift.sweep.claims import Claim, after, by_seed
from chainlift.sweep.grid import Finished, cross

DIGITS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30)
QUICK_DIGITS, QUICK = (3, 15), ("pretrain.steps=200", "evaluate.every=200", "model.width=32")
SMALL = 15
"""From this d on the learner is claimed to be at chance; below it is measured."""
CHANCE, NEAR = 0.5, 0.05
ONLY_SHORT = (
    "mixture.p_cot=0",
    "posttrain=null",
    "continued_pretrain=null",
    "pretrain.steps=1500",
    "pretrain.batch_size=256",
    "evaluate.every=1500",
)


def runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The model of `tiny` on 384,000 short demonstrations, over d."""
    if quick:
        return cross("tiny", {"task.d": QUICK_DIGITS}, seeds, *ONLY_SHORT, *QUICK)
    return cross("tiny", {"task.d": DIGITS}, seeds, *ONLY_SHORT)


def check(finished: list[Finished]) -> list[Finding]:
    """Greedy accuracy over d."""
    found = []
    for d, values in by_seed(finished, after("pretrain", "greedy_accuracy"), "task.d").items():
        predicted = CHANCE if d >= SMALL else None
        line = Finding("greedy accuracy, p_cot 0", f"d {d}", values, predicted, NEAR, x=d, axis="d", share=True)
        found.append(line)
    return found


CLAIM = Claim(
    "direct-control",
    "Without a single chain (p_cot = 0) a transformer stays at chance from some small d on, at the same budget",
    runs,
    check,
)
