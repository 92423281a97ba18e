"""Panels of accuracy and length over training, for the figures of several claims."""

from __future__ import annotations

from typing import Any

from chainlift.report.figures.picture import Line, Lines, Mark


def accuracy_and_length(
    rows: list[list[dict[str, Any]]], x: tuple[float, ...], unit: str, d: int, marks: tuple[Mark, ...] = ()
) -> tuple[Lines, ...]:
    """Greedy and sampled accuracy, then mean length, of evaluations (one list a seed) at the places x."""
    panels = []
    for key, title, top in (("accuracy", "accuracy", 1.02), ("length_mean", "mean response length (tokens)", 1.02 * d)):
        lines = tuple(
            Line(mode, x, tuple(tuple(float(row[mode][key]) for row in seed) for seed in rows))
            for mode in ("greedy", "sampled")
        )
        share = key == "accuracy"
        panels.append(Lines(title, unit, title, lines, marks, form="curves", share=share, y_range=(0.0, top)))
    return tuple(panels)
