"""Interactive pictures: plotly traces, with one layout for wide pages and one for narrow pages.

They are plain dictionaries; plotly is not imported. Colors of text and grid follow the page (pages/drawing.js). A click
on a name in the legend hides or shows it in all panels; the values of each seed are hidden at first.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from chainlift.report.figures.layout import arranged, axis_of, safe
from chainlift.report.figures.means import SeedMean, line_means, map_means, positions, shown
from chainlift.report.figures.palette import EACH_SEED, LEGEND, Look, look_of, looks, main_of
from chainlift.report.figures.picture import Line, Lines, Map, Picture, plain

MOST_LISTED = 10
"""Largest number of seeds whose values are listed in a mean's hover text."""
HOVER = 44
"""Letters in a line of the name of a prediction or a reference."""
MOST_DOTS = 60
"""Largest number of points of a curve with markers."""
BAR = 0.8  # total width of the bars at a whole number


def draw(picture: Picture) -> dict[str, Any]:
    """{data, wide, narrow}: traces and the plotly layout for each width, ready for JSON.

    All figures share the template layout.TEMPLATE.
    """
    traces = [trace for number, panel in enumerate(picture.panels, 1) for trace in _traces(picture, panel, number)]
    traces = [*_keys(picture), *traces]
    named: set[str] = set()
    for trace in traces:
        name = trace.get("name")
        if name and name not in named:
            named.add(name)
        else:
            trace["showlegend"] = False
    return plain({"data": traces, "wide": arranged(picture, is_wide=True), "narrow": arranged(picture, is_wide=False)})


def caption(picture: Picture) -> str:
    """A sentence about the picture's means and intervals."""
    if len(picture.seeds) < 2:
        return "One seed: no interval." if picture.seeds else ""
    return (
        f"Means over {len(picture.seeds)} seeds with 95 % Student t intervals; point at one for its numbers, and click "
        "on the legend to hide or show what it names."
    )


def _traces(picture: Picture, panel: Lines | Map, number: int) -> list[dict[str, Any]]:
    """The traces of panel `number`, counted from 1."""
    axes = {"xaxis": axis_of("x", number), "yaxis": axis_of("y", number)}
    if isinstance(panel, Map):
        traces = [_cells(picture, panel, number), *map(_over_cells, panel.lines)]
    else:
        of_main = looks(picture)
        traces = [_other(panel, line, of_main) for line in panel.lines if line.kind != "main"]
        for line in panel.main():
            traces += _main(picture, panel, line, of_main[line.name])
    return [trace | axes for trace in traces]


def _keys(picture: Picture) -> list[dict[str, Any]]:
    """Traces without points: an entry of the legend for each kind of lines that are not measured.

    A click on it hides or shows the lines of its name (pages/drawing.js), which are in the groups of main lines.
    """
    of_main, keys = looks(picture), {}
    for number, panel in enumerate(picture.panels, 1):
        for line in panel.lines if isinstance(panel, Lines) else ():
            if line.kind != "main" and line.kind not in keys:
                axes = {"xaxis": axis_of("x", number), "yaxis": axis_of("y", number)}
                look, name = look_of(line, of_main), LEGEND[line.kind]
                style = {"mode": "lines", "line": _stroke(look, line) | {"color": look.color}}
                keys[line.kind] = {"name": name, "legendgroup": name, "meta": "key", "x": [None], "y": [None], **style}
                keys[line.kind] |= axes
    return list(keys.values())


def _other(panel: Lines, line: Line, of_main: dict[str, Look]) -> dict[str, Any]:
    """The trace of a line that is not measured, hidden with its main line; a single point is a short stroke."""
    look = look_of(line, of_main)
    name = "<br>".join(map(safe, textwrap.wrap(line.name, HOVER)))
    return {
        "x": line.x,
        "y": line.values[0],
        "name": LEGEND[line.kind],
        "legendgroup": safe(main_of(line, of_main) or LEGEND[line.kind]),
        "mode": "lines" if len(line.x) > 1 else "markers",
        "line": _stroke(look, line),
        "marker": {"color": look.color, "symbol": "line-ew-open", "size": 16, "line": {"width": 2}},
        "hovertemplate": f"<b>{name}</b><br>{safe(panel.x_label)} %{{x}}<br>%{{y:.4g}}<extra></extra>",
    }


def _main(picture: Picture, panel: Lines, line: Line, look: Look) -> list[dict[str, Any]]:
    """The traces of a measured line: the band of its intervals, the values of each seed, and its means."""
    means, x = line_means(line, panel), positions(line, panel)
    of_seeds = list(zip(*line.values, strict=True))
    measured = [index for index, mean in enumerate(means) if mean.mean is not None]
    group = {"name": safe(line.name), "legendgroup": safe(line.name)}
    trace = group | {
        "x": [x[index] for index in measured],
        "y": [means[index].mean for index in measured],
        "hovertext": [_hover(picture, shown(line.x[index]), means[index], of_seeds[index]) for index in measured],
        "hovertemplate": f"{_bold(line.name)}{safe(panel.x_label)} %{{hovertext}}<extra></extra>",
    }
    if panel.form == "bars":
        width, position = BAR / len(panel.main()), panel.main().index(line)
        bars = {"type": "bar", "width": width, "offset": position * width - BAR / 2}
        return [trace | bars | {"marker": {"color": look.color}}]
    if panel.form == "areas":
        return [trace | {"mode": "lines", "line": {"color": look.color, "width": 0.5}, "stackgroup": "groups"}]
    is_curve = panel.form == "curves"
    trace |= {
        "mode": "markers" if not is_curve else "lines+markers" if len(measured) <= MOST_DOTS else "lines",
        "line": _stroke(look, line),
        "marker": {"color": look.color, "symbol": look.marker, "size": 4 if is_curve else 8},
    }
    bounded = [index for index in measured if means[index].low is not None]
    traces = [_band(line, look, x, means, bounded)] if is_curve and len(bounded) > 1 else []
    if bounded and not is_curve:
        trace["error_y"] = _bars(look, [means[index] for index in measured])
    return [*traces, *([_each_seed(panel, line, look, x)] if len(line.values) > 1 else []), trace]


def _stroke(look: Look, line: Line) -> dict[str, Any]:
    return {"width": look.width, "dash": look.dash} | ({"shape": "hv"} if line.steps else {})


def _band(line: Line, look: Look, x: list[float], means: list[SeedMean], indices: list[int]) -> dict[str, Any]:
    """The trace of the area between the ends of the intervals."""
    return {
        "legendgroup": safe(line.name),
        "x": [x[index] for index in [*indices, *reversed(indices)]],
        "y": [*(means[index].low for index in indices), *(means[index].high for index in reversed(indices))],
        "fill": "toself",
        "mode": "lines",
        "line": {"width": 0},
        "fillcolor": look.color,
        "opacity": 0.18,
        "hoverinfo": "skip",
    }


def _bars(look: Look, means: list[SeedMean]) -> dict[str, Any]:
    """Error bars of the intervals at each mean."""
    ends = [(mean.mean or 0.0, mean.low, mean.high) for mean in means]
    return {
        "type": "data",
        "symmetric": False,
        "color": look.color,
        "thickness": 1.5,
        "width": 4,
        "array": [0 if high is None else high - mean for mean, _, high in ends],
        "arrayminus": [0 if low is None else mean - low for mean, low, _ in ends],
    }


def _each_seed(panel: Lines, line: Line, look: Look, x: list[float]) -> dict[str, Any]:
    """The values of every seed as curves or points in one trace, hidden until the legend is clicked."""
    return {
        "name": EACH_SEED,
        "legendgroup": EACH_SEED,
        "legendrank": 1001,  # after the others
        "visible": "legendonly",
        "x": [position for _ in line.values for position in (*x, None)],
        "y": [value for row in line.values for value in (*row, None)],
        "mode": "lines" if panel.form == "curves" else "markers",
        "opacity": 0.45,
        "line": {"color": look.color, "width": 1},
        "marker": {"color": look.color, "symbol": look.marker, "size": 5},
        "hoverinfo": "skip",
    }


def _cells(picture: Picture, panel: Map, number: int) -> dict[str, Any]:
    """The heatmap trace of a map's means."""
    means = map_means(panel)
    trace = {
        "type": "heatmap",
        "x": panel.columns,
        "y": panel.rows,
        "z": [[cell.mean for cell in row] for row in means],
        "coloraxis": axis_of("coloraxis", number),
        "hovertemplate": "%{y}, %{x}: %{z:.3g}<extra></extra>",
    }
    if panel.row_ticks:
        return trace
    if panel.written:
        trace["texttemplate"] = "%{z:.2f}" if panel.range[1] <= 1 else "%{z:.3~r}"
    hovers = [
        [
            _hover(picture, str(column), cell, [rows[r][c] for rows in panel.values])
            for c, (column, cell) in enumerate(zip(panel.columns, cells, strict=True))
        ]
        for r, cells in enumerate(means)
    ]
    hover = f"<b>%{{y}}</b><br>{safe(panel.column_label)} %{{hovertext}}<extra></extra>"
    return trace | {"xgap": 1, "ygap": 1, "hovertext": hovers, "hovertemplate": hover}


def _over_cells(line: Line) -> dict[str, Any]:
    """The trace of a line or a point over a map."""
    is_predicted = line.kind == "predicted"
    legend = {} if line.kind == "reference" else {"name": safe(line.name), "legendgroup": safe(line.name)}
    return legend | {
        "x": line.x,
        "y": line.values[0],
        "mode": "lines" if len(line.x) > 1 else "markers",
        "line": {
            "color": "#000000" if is_predicted else "#ffffff",
            "width": 2 if is_predicted else 1,
            "dash": "dot" if line.is_dotted() else "solid",
        },
        "marker": {"color": "#ffffff", "size": 11, "line": {"color": "#000000", "width": 1.5}},
        "cliponaxis": len(line.x) > 1,  # a point at an end of an axis is whole
        "hovertemplate": f"{safe(line.name)}<extra></extra>",
    }


def _bold(name: str) -> str:
    return f"<b>{safe(name)}</b><br>" if name else ""


def _hover(picture: Picture, place: str, mean: SeedMean, values: Sequence[float]) -> str:
    """Hover text of a mean: its place, value, interval and seeds."""
    count, is_mean = len(picture.seeds), len(picture.seeds) > 1
    lines = [safe(place), f"mean {shown(mean.mean)}" if is_mean else shown(mean.mean)]
    if mean.low is not None:
        lines.append(f"95 %: {shown(mean.low)} to {shown(mean.high)}")
    elif is_mean:
        lines.append("no interval")
    if is_mean:
        lines.append(f"n = {mean.n} of {count} seeds")
        of_seeds = zip(picture.seeds, values, strict=True) if count <= MOST_LISTED else ()
        lines += [f"seed {seed}: {shown(value)}" for seed, value in of_seeds]
    return "<br>".join(lines)
