"""What a figure of a claim shows, as plain numbers: drawn on paper by picture_print.py, and on the page of results.

A picture keeps every seed's own values; both drawings take their means and intervals from `mean_over_seeds`. Its
table, a row a number, is the csv beside the figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from chainlift.measure.statistics import mean_interval


@dataclass(frozen=True)
class Line:
    """A curve: one value a seed at each x, or the one that is predicted."""

    name: str
    x: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    """(seeds, len(x)); a single row where it is predicted. Not a number: not measured there."""
    predicted: bool = False
    """Theory: drawn without markers, in no seed's colour."""
    fitted: bool = False
    """Fitted to what was measured, and drawn as what is predicted is, with other dashes; `predicted` is set, too."""


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
    joined: bool = False
    """Points are joined: x is a time. Otherwise they stand alone, as measurements of separate runs."""
    share: bool = False
    """Values are shares: intervals are cut to [0, 1]."""


@dataclass(frozen=True)
class Map:
    """A panel of coloured cells: one value a seed in each row and column."""

    title: str
    row_label: str
    column_label: str
    rows: tuple[str, ...]
    """Names, from the top."""
    columns: tuple[str, ...]
    values: tuple[tuple[tuple[float, ...], ...], ...]
    """(seeds, rows, columns)."""
    unit: str
    """What a cell's value is."""
    range: tuple[float, float]
    """Of the colours."""
    written: bool = False
    """Each cell's mean stands in it."""


@dataclass(frozen=True)
class Picture:
    """A figure: panels side by side."""

    name: str
    """Of its files."""
    title: str
    seeds: tuple[int, ...]
    """In the order of every panel's values."""
    panels: tuple[Lines | Map, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: a panel's `kind` is `lines` or `map`; null stands for what was not measured."""
        panels = [{"kind": "lines" if isinstance(one, Lines) else "map", **asdict(one)} for one in self.panels]
        return plain({"name": self.name, "title": self.title, "seeds": self.seeds, "panels": panels})

    def table(self) -> list[dict[str, Any]]:
        """Rows of {panel, line, seed, x, y} that hold every number drawn; of a map, line is the row and x the column.

        The seed of what is predicted is empty.
        """
        return [row for panel in self.panels for row in _rows(panel, self.seeds)]


@dataclass(frozen=True)
class SeedMean:
    """The mean of one place of a figure over its seeds, with the 95 % interval of Student's t."""

    n: int
    """Seeds that have a value there."""
    mean: float | None
    """None where no seed has one."""
    low: float | None
    """The interval's ends; None below two seeds."""
    high: float | None


def mean_over_seeds(values: Sequence[float | None], *, geometric: bool = False, share: bool = False) -> SeedMean:
    """The mean over the seeds that have a value, None or not a number where one was not measured.

    geometric: mean and interval are those of the logarithms, as in a claim's table; only values above 0 count.
    share: the interval is cut to [0, 1].
    """
    measured = [v for v in values if v is not None and math.isfinite(v) and (v > 0 or not geometric)]
    if not measured:
        return SeedMean(0, None, None, None)
    units, back = ([math.log(v) for v in measured], math.exp) if geometric else (measured, float)
    mean = back(sum(units) / len(units))
    if len(units) < 2:
        return SeedMean(1, mean, None, None)
    low, high = map(back, mean_interval(units))
    return SeedMean(len(units), mean, max(low, 0.0) if share else low, min(high, 1.0) if share else high)


def _rows(panel: Lines | Map, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    if isinstance(panel, Lines):
        return [
            {"panel": panel.title, "line": line.name, "seed": seed, "x": x, "y": y}
            for line in panel.lines
            for seed, values in zip(("",) if line.predicted else seeds, line.values, strict=True)
            for x, y in zip(line.x, values, strict=True)
        ]
    return [
        {"panel": panel.title, "line": row, "seed": seed, "x": column, "y": y}
        for seed, cells in zip(seeds, panel.values, strict=True)
        for row, values in zip(panel.rows, cells, strict=True)
        for column, y in zip(panel.columns, values, strict=True)
    ]


def picture_of(content: dict[str, Any]) -> Picture:
    """The picture of which `as_dict` made the content."""
    panels = tuple(_panel(panel) for panel in content["panels"])
    return Picture(content["name"], content["title"], tuple(content["seeds"]), panels)


def _panel(content: dict[str, Any]) -> Lines | Map:
    known = {key: _tuples(value) for key, value in content.items() if key != "kind"}
    if content["kind"] == "map":
        return Map(**{**known, "values": _measured(content["values"])})
    lines = (Line(**{**line, "x": tuple(line["x"]), "values": _measured(line["values"])}) for line in content["lines"])
    return Lines(**{**known, "lines": tuple(lines), "marks": tuple(Mark(**mark) for mark in content["marks"])})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _measured(value: Any) -> Any:
    """Tuples of numbers, not a number for null."""
    if isinstance(value, list):
        return tuple(map(_measured, value))
    return math.nan if value is None else value


def plain(value: Any) -> Any:
    """The value with None for every number in it that is not finite."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
