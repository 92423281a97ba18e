"""Figures of the headline: accuracy and length over both stages, and the lengths of responses over training."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainlift.claims import Finished
from chainlift.claims.panels import accuracy_and_length
from chainlift.report.figures.picture import Map, Mark, Picture


def pictures(finished: list[Finished]) -> list[Picture]:
    """(a) Accuracy and length over sequences, with a mark where RL begins; (d) lengths of sampled responses."""
    seeds = tuple(run.recipe.seed for run in finished)
    switch = finished[0].summary["pretrain"]["sequences"]
    rows = [[*run.evaluations("pretrain"), *run.evaluations("posttrain")] for run in finished]
    x = tuple(
        float(row["sequences"] + (switch if row["stage"] == "posttrain" else 0)) for row in rows[0]
    )  # demonstrations, then samples
    d: int = finished[0].recipe.setting("task.d")
    unit, marks = "sequences: demonstrations, then RL's samples", (Mark(float(switch), "RL begins", "event"),)
    headline = Picture(
        "headline", "Next-token prediction, then RL", seeds, accuracy_and_length(rows, x, unit, d, marks)
    )
    return [headline, Picture("lengths", "Response lengths over training", seeds, (_length_map(rows),))]


def _length_map(rows: list[list[dict[str, Any]]]) -> Map:
    """A map of the share of sampled responses by length (rows, longest on top) and evaluation (columns)."""
    longest = max(int(length) for seed in rows for row in seed for length in row["sampled"]["length_histogram"])
    edges = sorted({0, 1, 2, *np.linspace(2, longest, 9).round().astype(int).tolist()})
    bins = [(low, high) for low, high in zip(edges, [*edges[1:], longest + 1], strict=True) if high > low]

    def share(row: dict[str, Any], low: int, high: int) -> float:
        counts = row["sampled"]["length_histogram"]
        num_inside = sum(count for length, count in counts.items() if low <= int(length) < high)
        return num_inside / sum(counts.values())

    names = tuple(str(low) if high == low + 1 else f"{low} to {high - 1}" for low, high in reversed(bins))
    stages = {"pretrain": "NTP", "posttrain": "RL"}
    return Map(
        title="Lengths of sampled responses over training",
        row_label="response length (tokens)",
        column_label="updates",
        rows=names,
        columns=tuple(f"{stages[row['stage']]} {row['step']}" for row in rows[0]),
        values=tuple(
            tuple(tuple(share(row, low, high) for row in seed) for low, high in reversed(bins)) for seed in rows
        ),
        unit="share of the samples",
        range=(0.0, 1.0),
    )
