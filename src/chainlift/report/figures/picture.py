"""Figures as plain data: static.py draws them for print, interactive.py for pages.

A picture keeps the values of every seed; both drawings take means and intervals from means.py, and colors from
palette.py. Its table, with a row for each number, is the csv beside the figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["main", "predicted", "fitted", "reference"]
"""The figure's subject, with its own style; theory's prediction; a fit to measurements; or theory without noise, whose
horizontal scale is a convention."""
Form = Literal["points", "curves", "areas", "bars"]
"""Separate points, curves over time, stacked areas, or bars side by side."""


@dataclass(frozen=True)
class Line:
    """A curve with one value per seed at each x, or a single predicted value."""

    name: str
    """For example `star`, or `star, predicted` for another kind; empty if the panel's title suffices."""
    x: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    """(seeds, len(x)); a single row if the kind is not main. NaN: not measured."""
    kind: Kind = "main"
    limits: tuple[tuple[float, float], ...] = ()
    """95 % limits at each x of a single row, as measured by a run; if empty, intervals are over seeds."""
    steps: bool = False
    """Whether a value holds until the next x."""

    def is_dotted(self) -> bool:
        """Whether it is dotted over a map."""
        return self.kind == "reference" and len(self.x) == 2


@dataclass(frozen=True)
class Mark:
    """A vertical line."""

    x: float
    label: str
    kind: Literal["predicted", "fitted", "event"] = "predicted"
    """Theory's prediction, a fit to measurements, or an event; each has its own style."""


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
    """Whether values are shares, whose intervals are cut to [0, 1]."""

    def main(self) -> tuple[Line, ...]:
        """The lines of kind `main`, in order."""
        return tuple(line for line in self.lines if line.kind == "main")

    def x_range(self) -> tuple[float, float] | None:
        """(0, 1) for curves that reach from 0 to 1, as over shares, which have no margin; otherwise None."""
        x = {place for line in self.lines for place in line.x}
        return (0.0, 1.0) if self.form == "curves" and x and (min(x), max(x)) == (0, 1) else None


@dataclass(frozen=True)
class Map:
    """A panel of colored cells with one value per seed in each row and column."""

    title: str
    row_label: str
    column_label: str
    rows: tuple[str, ...] | tuple[float, ...]
    """Names from top to bottom, or numbers from bottom to top."""
    columns: tuple[str, ...] | tuple[float, ...]
    values: tuple[tuple[tuple[float, ...], ...], ...]
    """(seeds, rows, columns)."""
    unit: str
    """The quantity of the cells' values."""
    range: tuple[float, float]
    """Values at the two ends of the color map."""
    written: bool = False
    """Whether cells show their means as numbers."""
    log_rows: bool = False
    row_ticks: tuple[float, ...] = ()
    """Numbers labeled on the axis of rows."""
    lines: tuple[Line, ...] = ()
    """Lines over a map of numbers: white, or black if predicted; with one place a point. References have their name
    beside them; one with two places is dotted, and named by its place on the axis."""

    def in_legend(self) -> tuple[Line, ...]:
        """The lines with an entry in the legend: all but references."""
        return tuple(line for line in self.lines if line.kind != "reference")


@dataclass(frozen=True)
class Picture:
    """A figure of one or more panels."""

    name: str
    """Name of its files, without an ending."""
    title: str
    seeds: tuple[int, ...]
    """Seeds in the order of every panel's values; empty if nothing was measured."""
    panels: tuple[Lines | Map, ...]
    """The panels, row by row."""
    columns: int = 0
    """Columns of a grid whose rows share the y axis and whose columns share x axis and title; 0: not a grid."""

    def table(self) -> list[dict[str, Any]]:
        """Rows of {panel, quantity, line, kind, seed, x, y, low, high} with every number drawn.

        For a map, line is the row and x the column. Values that were not measured have an empty seed. The 95 % limits
        are empty if a line has none of its own: the drawn ones follow from the seeds' values.
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
    """The value for JSON: lists for tuples, None for numbers that are not finite, others rounded to `digits`.

    Whole numbers, such as a count of sequences, are not rounded.
    """
    if isinstance(value, dict):
        return {key: plain(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, digits) for item in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if value.is_integer() else float(f"{value:.{digits}g}")
