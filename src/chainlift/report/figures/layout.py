"""Plotly layouts of a picture's panels: side by side on wide pages, one below the other on narrow pages."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Callable
from typing import Any

from chainlift.report.figures.palette import COLOR_MAP, EACH_SEED, LEGEND, MARKS
from chainlift.report.figures.picture import Lines, Map, Picture

WIDE, NARROW = 1000, 340
"""Widths in pixels of the layouts; plotly scales them to the page."""
HEIGHT, GRID_HEIGHT = 230, 160
LABELS, TITLE_LINE, LETTER, LEGEND_LINE = 54, 17, 7, 20
"""Pixels: space for labels below a panel, a title line, the width of a letter, a line of the legend."""
LEFT, RIGHT, BETWEEN, COLOR_BAR = 58, 16, 74, 64

_AXIS: dict[str, Any] = {"zeroline": False, "title": {"font": {"size": 12}, "standoff": 8}}
TEMPLATE: dict[str, Any] = {
    "layout": {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "legend": {"orientation": "h", "x": 0, "yanchor": "bottom", "font": {"size": 12}},
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "annotationdefaults": {"showarrow": False, "xref": "paper", "yref": "paper", "font": {"size": 13}},
        "coloraxis": {"colorbar": {"thickness": 12, "outlinewidth": 0, "yanchor": "top", "ypad": 0}},
    }
}
"""Plotly template that all figures share; the page adds its colors."""


def axis_of(letter: str, number: int) -> str:
    """Plotly's name of axis `number`: x, x2, x3 and so on."""
    return letter if number == 1 else f"{letter}{number}"


def arranged(picture: Picture, *, is_wide: bool) -> dict[str, Any]:
    """The layout of a picture for a wide or a narrow page."""
    count, width = len(picture.panels), WIDE if is_wide else NARROW
    default_columns = 2 if count == 4 else min(count, 3)
    columns = (picture.columns or default_columns) if is_wide else 1
    order = list(range(count))
    if picture.columns and not is_wide:  # a grid is read column by column
        order = [index for column in range(picture.columns) for index in range(column, count, picture.columns)]
    rows = -(-count // columns)
    height = GRID_HEIGHT if picture.columns and count > picture.columns else HEIGHT
    step = (1 - (columns - 1) * BETWEEN / width) / columns  # a panel's share of the width
    titles = [_wrapped(panel.title, int(step * width)) for panel in picture.panels]
    above, legend = TITLE_LINE * max(title.count("<br>") + 1 for title in titles) + 8, _legend_height(picture, width)
    last_indices = [order[min((row + 1) * columns, count) - 1] for row in range(rows)]  # of each row
    below = [TITLE_LINE if _is_inner(picture, index) else LABELS + above for index in last_indices]
    tops = [row * height + sum(below[:row]) for row in range(rows)]  # pixels from the first one's
    plot = tops[-1] + height
    layout: dict[str, Any] = {
        "height": plot + above + legend + LABELS,
        "margin": {"l": LEFT, "r": RIGHT, "t": above + legend, "b": LABELS},
        "legend": {"y": 1 + above / plot},
        "showlegend": legend > 0,
        "annotations": [],
        "shapes": [],
    }
    labels: set[str] = set()
    for position, index in enumerate(order):
        panel, row, column = picture.panels[index], position // columns, position % columns
        left, top = column * (step + BETWEEN / width), 1 - tops[row] / plot
        x, y = axis_of("x", index + 1), axis_of("y", index + 1)
        inner_left, right = _inside(panel, left, left + step, width)
        layout[f"xaxis{x[1:]}"] = _x_axis(panel) | {"domain": [inner_left, right], "anchor": y}
        layout[f"yaxis{y[1:]}"] = _y_axis(panel) | {"domain": [max(top - height / plot, 0), top], "anchor": x}
        is_top = not picture.columns or index < picture.columns
        if picture.columns:
            layout[f"xaxis{x[1:]}"] |= _in_column(index, picture.columns, is_bottom=not _is_inner(picture, index))
            layout[f"yaxis{y[1:]}"] |= _in_row(index, picture.columns, is_left=column == 0)
        if is_top and panel.title:
            anchor = {"x": left, "y": top, "xanchor": "left", "yanchor": "bottom", "align": "left"}
            layout["annotations"].append({"text": f"<b>{titles[index]}</b>", **anchor})
        if isinstance(panel, Map):
            bar = {"x": right, "y": top, "len": height / plot}
            layout[axis_of("coloraxis", index + 1)] = _color_axis(panel, bar)
        else:
            layout["shapes"] += _marks(panel, x, y, labels)
    return layout


def _is_inner(picture: Picture, index: int) -> bool:
    """Whether a panel of a grid is above another one, whose x axis it shares."""
    return 0 < picture.columns < len(picture.panels) - index


def _inside(panel: Lines | Map, left: float, right: float, width: int) -> tuple[float, float]:
    """Left and right end of a panel's plot area, without row names and color bar."""
    if isinstance(panel, Lines):
        return left, right
    letters = 0 if panel.row_ticks else max(len(str(name)) for name in panel.rows)
    names = max(0, LETTER * letters + (40 if panel.row_label else 20) - LEFT)
    return left + min(names / width, (right - left) / 2), right - COLOR_BAR / width


def _in_column(index: int, columns: int, *, is_bottom: bool) -> dict[str, Any]:
    """Settings that link an x axis of a grid to the top one; only the lowest has labels."""
    hidden = {} if is_bottom else {"showticklabels": False, "title": {"text": ""}}
    return hidden | ({"matches": axis_of("x", index % columns + 1)} if index >= columns else {})


def _in_row(index: int, columns: int, *, is_left: bool) -> dict[str, Any]:
    """Settings that link a y axis of a grid to the first one of its row; only the leftmost has labels."""
    hidden = {} if is_left else {"showticklabels": False, "title": {"text": ""}}
    return hidden | ({"matches": axis_of("y", index // columns * columns + 1)} if index % columns else {})


def _x_axis(panel: Lines | Map) -> dict[str, Any]:
    if isinstance(panel, Map):
        kind = {"range": _whole_cells(panel.columns)} if panel.row_ticks else {"type": "category"}
        return kind | {"title": _label(panel.column_label)}
    places = sorted({x for line in panel.lines for x in line.x})
    if not panel.log_x:
        return {"title": _label(panel.x_label)} | ({"range": panel.x_range()} if panel.x_range() else {})
    ticks = {"tickvals": places, "ticktext": [f"{x:.4g}" for x in places]} if len(places) < 12 else {}
    return {"title": _label(panel.x_label), "type": "log"} | ticks


def _whole_cells(places: tuple[Any, ...], scale: Callable[[float], float] = float) -> list[float]:
    """The range of an axis of a map of numbers: half a cell beyond the outermost places."""
    first, second, *_, last_but_one, last = map(scale, places)
    return [first - (second - first) / 2, last + (last - last_but_one) / 2]


def _y_axis(panel: Lines | Map) -> dict[str, Any]:
    if isinstance(panel, Map):
        title = {"title": _label(panel.row_label)}
        if not panel.row_ticks:
            return title | {"type": "category", "autorange": "reversed"}
        ticks = {"tickvals": panel.row_ticks, "ticktext": [f"{tick:g}" for tick in panel.row_ticks]}
        kind, scale = ("log", math.log10) if panel.log_rows else ("linear", float)
        return title | ticks | {"type": kind, "range": _whole_cells(panel.rows, scale)}
    axis: dict[str, Any] = {"title": _label("" if panel.y_label == panel.title else panel.y_label)}
    if panel.y_range:
        axis["range"] = [math.log10(y) for y in panel.y_range] if panel.log_y else panel.y_range
    return axis | (_log_ticks(panel) if panel.log_y else {})


def _log_ticks(panel: Lines) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 times the powers of ten, or at many powers alone; plotly would label every digit."""
    values = [y for line in panel.lines for row in line.values for y in row if y > 0]
    low = math.floor(math.log10(min(values, default=1))) - 1
    powers = [10.0**power for power in range(low, math.ceil(math.log10(max(values, default=1))) + 2)]
    ticks = powers if len(powers) > 6 else [digit * power for power in powers for digit in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,.4g}" for tick in ticks]}


def _marks(panel: Lines, x: str, y: str, labels: set[str]) -> list[dict[str, Any]]:
    """Shapes of vertical lines; lines with a label already in `labels` join the legend entry of the first."""
    shapes = []
    for mark in panel.marks:
        look = MARKS[mark.kind]
        line = {"width": 1.5, "dash": look.dash} | ({"color": look.color} if look.color else {})
        legend = {"showlegend": mark.label not in labels, "legendgroup": safe(mark.label), "name": safe(mark.label)}
        position = {"x0": mark.x, "x1": mark.x, "y0": 0, "y1": 1, "xref": x, "yref": f"{y} domain"}
        shapes.append({"type": "line", "line": line, **position, **legend})
        labels.add(mark.label)
    return shapes


def _color_axis(panel: Map, position: dict[str, float]) -> dict[str, Any]:
    text = "" if panel.unit == panel.title else safe(panel.unit)
    title = {"text": text, "side": "right", "font": {"size": 12}}
    ends = {"cmin": panel.range[0], "cmax": panel.range[1]}
    return {"colorscale": COLOR_MAP.title(), **ends, "colorbar": {"title": title, **position}}


def _legend_height(picture: Picture, width: int) -> int:
    """Approximate height of the legend in pixels; 0 if it would have a single name."""
    panels = [panel for panel in picture.panels if isinstance(panel, Lines)]
    names = [LEGEND.get(line.kind, line.name) for panel in panels for line in panel.lines if line.name]
    names += [line.name for panel in picture.panels if isinstance(panel, Map) for line in panel.in_legend()]
    names += [mark.label for panel in panels for mark in panel.marks]
    names += [EACH_SEED] if len(picture.seeds) > 1 and names else []
    if len(set(names)) < 2:
        return 0
    rows, used = 1, 0
    for name in dict.fromkeys(names):
        needed = LETTER * len(name) + 46
        is_new = used + needed > width - LEFT
        rows, used = rows + is_new, needed + (0 if is_new else used)
    return LEGEND_LINE * rows + 6


def _label(name: str) -> dict[str, Any]:
    return {"text": safe(name)}


def _wrapped(title: str, width: int) -> str:
    """A title broken into lines of at most `width` pixels."""
    return "<br>".join(map(safe, textwrap.wrap(title, max(width // (LETTER + 1), 12)))) or ""


def safe(text: str) -> str:
    """Text with tags escaped, because plotly interprets them."""
    return html.escape(text, quote=False)
