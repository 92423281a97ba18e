"""What both drawings of a picture show at a place: means over seeds with their intervals, and where points stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chainlift.measure.statistics import mean_interval
from chainlift.report.figures.picture import Line, Lines, Map, Picture

BESIDE = 0.02
"""Between two points at the same x, as a share of the axis: about a marker."""


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


def line_means(line: Line, panel: Lines | Map) -> list[SeedMean]:
    """The mean at each x of a line, with its own limits where it has some, else with those over seeds."""
    if line.limits:
        rows = zip(line.values[0], line.limits, strict=True)
        return [SeedMean(1, value, low, high) for value, (low, high) in rows]
    how = {"geometric": panel.log_y, "share": panel.share} if isinstance(panel, Lines) else {}
    return [mean_over_seeds(column, **how) for column in zip(*line.values, strict=True)]


def map_means(panel: Map) -> list[list[SeedMean]]:
    """The mean in each row and column of a map."""
    of_rows = zip(*panel.values, strict=True)  # each row, as every seed has it
    return [[mean_over_seeds(cell) for cell in zip(*row, strict=True)] for row in of_rows]


def positions(line: Line, panel: Lines) -> list[float]:
    """Where a line's points are drawn: beside those of other lines at the same x, so that none is hidden."""
    lines, places = panel.main(), [x for line in panel.lines for x in line.x]
    if panel.form != "points" or line not in lines:
        return list(line.x)
    scale, back = _scales(panel)
    step = BESIDE * (scale(max(places)) - scale(min(places)))
    found = []
    for x in line.x:
        there = [other for other in lines if x in other.x]
        shift = there.index(line) - (len(there) - 1) / 2
        found.append(back(scale(x) + step * shift) if shift else x)
    return found


def _scales(panel: Lines) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """(to a place on the x axis, back from it)."""
    return (math.log, math.exp) if panel.log_x else (float, float)


def numbers(picture: Picture) -> list[tuple[str, str, str, SeedMean]]:
    """(panel, line, at, mean) of all that is drawn, for those who cannot see or point."""
    found = []
    for panel in picture.panels:
        if isinstance(panel, Lines):
            found += [
                (panel.title, line.name, f"{x:.6g}", mean)
                for line in panel.lines
                for x, mean in zip(line.x, line_means(line, panel), strict=True)
            ]
        else:
            found += [
                (panel.title, str(row), str(column), mean)
                for row, means in zip(panel.rows, map_means(panel), strict=True)
                for column, mean in zip(panel.columns, means, strict=True)
            ]
    return found


def shown(number: Any) -> str:
    """A number for people: four digits, or all of those before the point."""
    if number is None or not math.isfinite(number):
        return "—"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
