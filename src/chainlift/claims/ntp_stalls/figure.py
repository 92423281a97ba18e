"""Figure of accuracy and length over the demonstrations of next-token prediction alone."""

from __future__ import annotations

from chainlift.claims import Finished
from chainlift.claims.panels import accuracy_and_length
from chainlift.report.figures.picture import Picture


def pictures(finished: list[Finished]) -> list[Picture]:
    """Greedy and sampled accuracy and mean length of each seed."""
    rows = [run.evaluations("pretrain") for run in finished]
    d: int = finished[0].recipe.setting("task.d")
    panels = accuracy_and_length(rows, tuple(float(row["sequences"]) for row in rows[0]), "demonstrations", d)
    seeds = tuple(run.recipe.seed for run in finished)
    return [Picture("stalls", "Next-token prediction alone", seeds, panels)]
