"""A figure, defined once as plain numbers: static.py draws it on paper, interactive.py on pages.

A picture keeps every seed's own values; both drawings take means and intervals from means.py, and colours from
palette.py. Its table, a row a number, is the csv beside the figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["main", "predicted", "fitted", "reference"]
"""What the figure is about, in a look of its own; theory's; fitted to what was measured; or what theory has without
noise, whose horizontal scale is a convention."""
Form = Literal["points", "curves", "areas", "bars"]
"""Measurements of separate runs, which stand alone; or joined, as x is a time; or stacked; or side by side."""


@dataclass(frozen=True)
class Line:
    """A curve: one value a seed at each x, or the one that is predicted."""

    name: str
    """`star` for example, or of another kind `star, predicted`; empty where the panel's title says it."""
    x: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    """(seeds, len(x)); a single row where the kind is not main. Not a number: not measured there."""
    kind: Kind = "main"
    limits: tuple[tuple[float, float], ...] = ()
    """95 % limits of a single row at each x, as a run measures them; where there are none, intervals are over seeds."""
    steps: bool = False
    """A value holds until the next x."""


@dataclass(frozen=True)
class Mark:
    """A vertical line."""

    x: float
    label: str
    kind: Literal["predicted", "fitted", "event"] = "predicted"
    """Theory's, fitted to what was measured, or something that happened there; drawn in different ways."""


@dataclass(frozen=True)
class Lines:
    """A panel of curves."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...] = ()
    log_x: bool = False
    log_y: bool = False
    y_range: tuple[float, float] | None = None
    form: Form = "points"
    share: bool = False
    """Values are shares: intervals are cut to [0, 1]."""

    def main(self) -> tuple[Line, ...]:
        """The lines that the figure is about."""
        return tuple(line for line in self.lines if line.kind == "main")


@dataclass(frozen=True)
class Map:
    """A panel of coloured cells: one value a seed in each row and column."""

    title: str
    row_label: str
    column_label: str
    rows: tuple[str, ...] | tuple[float, ...]
    """Names, from the top; or numbers, from the bottom."""
    columns: tuple[str, ...] | tuple[float, ...]
    values: tuple[tuple[tuple[float, ...], ...], ...]
    """(seeds, rows, columns)."""
    unit: str
    """What a cell's value is."""
    range: tuple[float, float]
    """Of the colours."""
    written: bool = False
    """Each cell's mean stands in it."""
    log_rows: bool = False
    row_ticks: tuple[float, ...] = ()
    """Of the numbers in rows, those that stand at the axis."""
    lines: tuple[Line, ...] = ()
    """Over a map of numbers: white, or black where predicted; a line of one place is a point."""


@dataclass(frozen=True)
class Picture:
    """A figure of one or more panels."""

    name: str
    """Of its files."""
    title: str
    seeds: tuple[int, ...]
    """In the order of every panel's values; empty where nothing was measured."""
    panels: tuple[Lines | Map, ...]
    """Row by row."""
    columns: int = 0
    """Of a grid, whose rows share their y axis and whose columns share their x axis and title; 0: it is no grid."""

    def table(self) -> list[dict[str, Any]]:
        """Rows of {panel, quantity, line, kind, seed, x, y, low, high} that hold every number drawn.

        Of a map, line is the row and x the column. The seed of what was not measured is empty, and so are the 95 %
        limits of what has none of its own: those that are drawn follow from the seeds' values.
        """
        return [row for panel in self.panels for row in _rows(panel, self.seeds)]


def _rows(panel: Lines | Map, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    if isinstance(panel, Lines):
        return [row for line in panel.lines for row in _line_rows(panel.title, panel.y_label, line, seeds)]
    about = {"panel": panel.title, "quantity": panel.unit}
    cells = [
        {**about, "line": row, "kind": "main", "seed": seed, "x": column, "y": y, "low": "", "high": ""}
        for seed, cells in zip(seeds or ("",), panel.values, strict=True)
        for row, values in zip(panel.rows, cells, strict=True)
        for column, y in zip(panel.columns, values, strict=True)
    ]
    return cells + [row for line in panel.lines for row in _line_rows(panel.title, panel.row_label, line, ())]


def _line_rows(panel: str, quantity: str, line: Line, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    about = {"panel": panel, "quantity": quantity, "line": line.name, "kind": line.kind}
    limits = line.limits or (("", ""),) * len(line.x)
    return [
        {**about, "seed": seed, "x": x, "y": y, "low": low, "high": high}
        for seed, values in zip((seeds if line.kind == "main" else ()) or ("",), line.values, strict=True)
        for x, y, (low, high) in zip(line.x, values, limits, strict=True)
    ]


def plain(value: Any, digits: int = 17) -> Any:
    """The value for JSON: lists for tuples, numbers with so many digits, None for those that are not finite."""
    if isinstance(value, dict):
        return {key: plain(one, digits) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, digits) for one in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
