"""Panels of accuracy and length over training that figures of several claims share."""

from __future__ import annotations

from typing import Any

from chainlift.report.figures.picture import Line, Lines, Mark


def accuracy_and_length(
    rows: list[list[dict[str, Any]]], x: tuple[float, ...], unit: str, d: int, marks: tuple[Mark, ...] = ()
) -> tuple[Lines, ...]:
    """A panel of greedy and sampled accuracy and one of mean length over x; `rows` has each seed's evaluations."""
    panels = []
    for key, title, top in (("accuracy", "accuracy", 1.02), ("length_mean", "mean response length (tokens)", 1.02 * d)):
        lines = tuple(
            Line(mode, x, tuple(tuple(float(row[mode][key]) for row in seed) for seed in rows))
            for mode in ("greedy", "sampled")
        )
        is_share = key == "accuracy"
        panels.append(Lines(title, unit, title, lines, marks, form="curves", share=is_share, y_range=(0.0, top)))
    return tuple(panels)
