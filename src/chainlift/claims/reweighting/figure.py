"""The figure of what RL changed: KL at each position, and pass@k before and after it."""

from __future__ import annotations

import functools
from pathlib import Path

from chainlift.claims import Finished
from chainlift.report.figures.picture import Line, Lines, Picture
from chainlift.stages.before_after import BeforeAfter, before_after
from chainlift.theory.groups import pass_at_k
from chainlift.theory.reweighting import mode_kl


def pictures(finished: list[Finished]) -> list[Picture]:
    """(g) KL at each position, and pass@k before and after RL."""
    seeds, p = tuple(run.recipe.seed for run in finished), finished[0].recipe.mixture.last
    comparisons = [compared(run) for run in finished]
    positions = tuple(float(i + 1) for i in range(len(comparisons[0].kl)))
    first, second = mode_kl(p, 2)
    predicted = Line("predicted", positions, ((first, second, *(0.0,) * (len(positions) - 2)),), "predicted")
    measured = Line("measured", positions, tuple(tuple(each.kl) for each in comparisons))
    kl = Lines("KL(after || before) by position", "output token", "nats", (predicted, measured))
    ks = tuple(map(float, comparisons[0].before))
    lines = (
        Line("before RL, predicted", ks, (tuple(pass_at_k(p, int(k), 2) for k in ks),), "predicted"),
        Line("before RL", ks, tuple(tuple(each.before.values()) for each in comparisons)),
        Line("after RL", ks, tuple(tuple(each.after.values()) for each in comparisons)),
    )
    rates = Lines("pass@k before and after RL", "k", "pass@k", lines, log_x=True, share=True, y_range=(0.45, 1.02))
    return [Picture("kl-and-pass-at-k", "RL changes the mode, not the skill", seeds, (kl, rates))]


def compared(run: Finished) -> BeforeAfter:
    """A run's models before and after RL side by side."""
    return _compared(run.folder)


@functools.lru_cache(maxsize=64)
def _compared(folder: Path) -> BeforeAfter:
    return before_after(folder)
