"""Means over seeds with their intervals, and positions of points, for static and interactive figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chainlift.measure.statistics import mean_interval
from chainlift.report.figures.picture import Line, Lines, Map, Picture

BESIDE = 0.02
"""Distance between two points at the same x, as a share of the axis: about the width of a marker."""


@dataclass(frozen=True)
class SeedMean:
    """The mean over seeds at one place of a figure, with Student's 95 % t interval."""

    n: int
    """Number of seeds with a value."""
    mean: float | None
    """None if no seed has a value."""
    low: float | None
    """Lower end of the interval; None with fewer than two seeds."""
    high: float | None


def mean_over_seeds(values: Sequence[float | None], *, geometric: bool = False, share: bool = False) -> SeedMean:
    """Mean over the seeds with a value; None and NaN are missing values.

    geometric: mean and interval are computed from logarithms, as in a claim's table, and only values above 0 count.
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


def line_means(line: Line, panel: Lines | Map) -> list[SeedMean]:
    """The mean at each x of a line, with the line's own limits if it has any, otherwise with the t interval."""
    if line.limits:
        rows = zip(line.values[0], line.limits, strict=True)
        return [SeedMean(1, value, low, high) for value, (low, high) in rows]
    options = {"geometric": panel.log_y, "share": panel.share} if isinstance(panel, Lines) else {}
    return [mean_over_seeds(column, **options) for column in zip(*line.values, strict=True)]


def map_means(panel: Map) -> list[list[SeedMean]]:
    """The mean in each cell of a map, row by row."""
    of_rows = zip(*panel.values, strict=True)  # each row, for every seed
    return [[mean_over_seeds(cell) for cell in zip(*row, strict=True)] for row in of_rows]


def positions(line: Line, panel: Lines) -> list[float]:
    """x positions of a line's points, shifted beside those of other lines at the same x so that none is hidden."""
    lines, all_x = panel.main(), [x for line in panel.lines for x in line.x]
    if panel.form != "points" or line not in lines:
        return list(line.x)
    scale, back = _scales(panel)
    spacing = BESIDE * (scale(max(all_x)) - scale(min(all_x)))
    shifted = []
    for x in line.x:
        lines_at_x = [other for other in lines if x in other.x]
        shift = lines_at_x.index(line) - (len(lines_at_x) - 1) / 2
        shifted.append(back(scale(x) + spacing * shift) if shift else x)
    return shifted


def _scales(panel: Lines) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """(function to the x axis's scale, its inverse)."""
    return (math.log, math.exp) if panel.log_x else (float, float)


def numbers(picture: Picture) -> list[tuple[str, str, str, SeedMean]]:
    """(panel, line, place, mean) of everything drawn: an accessible table of the picture."""
    rows = []
    for panel in picture.panels:
        if isinstance(panel, Lines):
            rows += [
                (panel.title, line.name, f"{x:.6g}", mean)
                for line in panel.lines
                for x, mean in zip(line.x, line_means(line, panel), strict=True)
            ]
        else:
            rows += [
                (panel.title, str(row), str(column), mean)
                for row, means in zip(panel.rows, map_means(panel), strict=True)
                for column, mean in zip(panel.columns, means, strict=True)
            ]
    return rows


def shown(number: Any) -> str:
    """A number as text: four significant digits, or all digits before the decimal point."""
    if number is None or not math.isfinite(number):
        return "—"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
