"""Figure of what RL changed: the KL divergence to the base by position, and pass@k before and after RL."""

from __future__ import annotations

import functools
from pathlib import Path

from chainlift.claims import Finished
from chainlift.report.figures.picture import Line, Lines, Picture
from chainlift.stages.before_after import BeforeAfter, before_after
from chainlift.theory.groups import pass_at_k
from chainlift.theory.reweighting import mode_kl


def pictures(finished: list[Finished]) -> list[Picture]:
    """(g) The KL divergence to the base by position, and pass@k before and after RL."""
    seeds, p = tuple(run.recipe.seed for run in finished), finished[0].recipe.mixture.last
    comparisons = [comparison(run) for run in finished]
    positions = tuple(float(i + 1) for i in range(len(comparisons[0].kl)))
    first, second = mode_kl(p, 2)
    predicted = Line("predicted", positions, ((first, second, *(0.0,) * (len(positions) - 2)),), "predicted")
    measured = Line("measured", positions, tuple(tuple(pair.kl) for pair in comparisons))
    kl = Lines("KL(after || before) by position", "output token", "nats", (predicted, measured))
    ks = tuple(map(float, comparisons[0].before))
    lines = (
        Line("before RL, predicted", ks, (tuple(pass_at_k(p, int(k), 2) for k in ks),), "predicted"),
        Line("before RL", ks, tuple(tuple(pair.before.values()) for pair in comparisons)),
        Line("after RL", ks, tuple(tuple(pair.after.values()) for pair in comparisons)),
    )
    rates = Lines("pass@k before and after RL", "k", "pass@k", lines, log_x=True, share=True, y_range=(0.45, 1.02))
    return [Picture("kl-and-pass-at-k", "RL changes the mode, not the skill", seeds, (kl, rates))]


def comparison(run: Finished) -> BeforeAfter:
    """A comparison of a run's models before and after RL; kept in memory."""
    return _cached(run.folder)


@functools.lru_cache(maxsize=64)
def _cached(folder: Path) -> BeforeAfter:
    return before_after(folder)
