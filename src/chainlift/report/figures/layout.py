"""Where the panels of a picture stand on a page, as a layout of plotly's: side by side, or on a narrow page below."""

from __future__ import annotations

import html
import math
import textwrap
from typing import Any

from chainlift.report.figures.palette import COLOR_MAP, EACH_SEED, LEGEND, MARKS
from chainlift.report.figures.picture import Lines, Map, Picture

WIDE, NARROW = 1000, 340
"""Widths in pixels for which layouts are made; plotly stretches them."""
HEIGHT, GRID_HEIGHT = 230, 160
LABELS, TITLE_LINE, LETTER, LEGEND_LINE = 54, 17, 7, 20
"""Pixels: below a panel, a title's line, a letter's width, a line of the legend."""
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
"""What all figures have in common, as a template of plotly's; the page adds its colours."""


def axis_of(letter: str, number: int) -> str:
    """The name of an axis: plotly counts x, x2, x3 .."""
    return letter if number == 1 else f"{letter}{number}"


def arranged(picture: Picture, *, is_wide: bool) -> dict[str, Any]:
    """The layout for a wide or a narrow page."""
    count, width = len(picture.panels), WIDE if is_wide else NARROW
    free = 2 if count == 4 else min(count, 3)
    columns = (picture.columns or free) if is_wide else 1
    order = list(range(count))
    if picture.columns and not is_wide:  # a grid goes on column by column
        order = [at for column in range(picture.columns) for at in range(column, count, picture.columns)]
    rows = -(-count // columns)
    height = GRID_HEIGHT if picture.columns and count > picture.columns else HEIGHT
    step = (1 - (columns - 1) * BETWEEN / width) / columns  # a panel's share of the width
    titles = [_wrapped(panel.title, int(step * width)) for panel in picture.panels]
    above, legend = TITLE_LINE * max(title.count("<br>") + 1 for title in titles) + 8, _legend_height(picture, width)
    last = [order[min((row + 1) * columns, count) - 1] for row in range(rows)]  # of each row
    below = [TITLE_LINE if _is_inner(picture, at) else LABELS + above for at in last]
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
    named: set[str] = set()
    for place, at in enumerate(order):
        panel, row, column = picture.panels[at], place // columns, place % columns
        left, top = column * (step + BETWEEN / width), 1 - tops[row] / plot
        x, y = axis_of("x", at + 1), axis_of("y", at + 1)
        inner_left, right = _inside(panel, left, left + step, width)
        layout[f"xaxis{x[1:]}"] = _x_axis(panel) | {"domain": [inner_left, right], "anchor": y}
        layout[f"yaxis{y[1:]}"] = _y_axis(panel) | {"domain": [max(top - height / plot, 0), top], "anchor": x}
        is_top = not picture.columns or at < picture.columns
        if picture.columns:
            layout[f"xaxis{x[1:]}"] |= _in_column(at, picture.columns, is_bottom=not _is_inner(picture, at))
            layout[f"yaxis{y[1:]}"] |= _in_row(at, picture.columns, is_left=column == 0)
        if is_top and panel.title:
            place = {"x": left, "y": top, "xanchor": "left", "yanchor": "bottom", "align": "left"}
            layout["annotations"].append({"text": f"<b>{titles[at]}</b>", **place})
        if isinstance(panel, Map):
            bar = {"x": right, "y": top, "len": height / plot}
            layout[axis_of("coloraxis", at + 1)] = _color_axis(panel, bar)
        else:
            layout["shapes"] += _marks(panel, x, y, named)
    return layout


def _is_inner(picture: Picture, at: int) -> bool:
    """Whether a panel of a grid stands above another one, whose x axis it shares."""
    return 0 < picture.columns < len(picture.panels) - at


def _inside(panel: Lines | Map, left: float, right: float, width: int) -> tuple[float, float]:
    """The ends of a panel without its names of rows and its bar of colours."""
    if isinstance(panel, Lines):
        return left, right
    letters = 0 if panel.row_ticks else max(len(str(name)) for name in panel.rows)
    names = max(0, LETTER * letters + (40 if panel.row_label else 20) - LEFT)
    return left + min(names / width, (right - left) / 2), right - COLOR_BAR / width


def _in_column(at: int, columns: int, *, is_bottom: bool) -> dict[str, Any]:
    """What an x axis of a grid has in common with the top one; only the lowest is written at."""
    bare = {} if is_bottom else {"showticklabels": False, "title": {"text": ""}}
    return bare | ({"matches": axis_of("x", at % columns + 1)} if at >= columns else {})


def _in_row(at: int, columns: int, *, is_left: bool) -> dict[str, Any]:
    """What a y axis of a grid has in common with the first one; only the left one is written at."""
    bare = {} if is_left else {"showticklabels": False, "title": {"text": ""}}
    return bare | ({"matches": axis_of("y", at // columns * columns + 1)} if at % columns else {})


def _x_axis(panel: Lines | Map) -> dict[str, Any]:
    if isinstance(panel, Map):
        kind = {"range": [panel.columns[0], panel.columns[-1]]} if panel.row_ticks else {"type": "category"}
        return kind | {"title": _label(panel.column_label)}
    places = sorted({x for line in panel.lines for x in line.x})
    if not panel.log_x:
        return {"title": _label(panel.x_label)}
    ticks = {"tickvals": places, "ticktext": [f"{x:.4g}" for x in places]} if len(places) < 12 else {}
    return {"title": _label(panel.x_label), "type": "log"} | ticks


def _y_axis(panel: Lines | Map) -> dict[str, Any]:
    if isinstance(panel, Map):
        title = {"title": _label(panel.row_label)}
        if not panel.row_ticks:
            return title | {"type": "category", "autorange": "reversed"}
        ticks = {"tickvals": panel.row_ticks, "ticktext": [f"{tick:g}" for tick in panel.row_ticks]}
        return title | ticks | {"type": "log" if panel.log_rows else "linear"}
    axis: dict[str, Any] = {"title": _label("" if panel.y_label == panel.title else panel.y_label)}
    if panel.y_range:
        axis["range"] = [math.log10(y) for y in panel.y_range] if panel.log_y else panel.y_range
    return axis | (_log_ticks(panel) if panel.log_y else {})


def _log_ticks(panel: Lines) -> dict[str, Any]:
    """1, 2 and 5 of every power of ten, or the powers alone where they are many: plotly writes every digit."""
    values = [y for line in panel.lines for row in line.values for y in row if y > 0]
    low = math.floor(math.log10(min(values, default=1))) - 1
    powers = [10.0**power for power in range(low, math.ceil(math.log10(max(values, default=1))) + 2)]
    ticks = powers if len(powers) > 6 else [digit * power for power in powers for digit in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,.4g}" for tick in ticks]}


def _marks(panel: Lines, x: str, y: str, named: set[str]) -> list[dict[str, Any]]:
    """Vertical lines, named in the legend; those that the picture has named already go with the first of the name."""
    found = []
    for mark in panel.marks:
        look = MARKS[mark.kind]
        line = {"width": 1.5, "dash": look.dash} | ({"color": look.color} if look.color else {})
        legend = {"showlegend": mark.label not in named, "legendgroup": safe(mark.label), "name": safe(mark.label)}
        place = {"x0": mark.x, "x1": mark.x, "y0": 0, "y1": 1, "xref": x, "yref": f"{y} domain"}
        found.append({"type": "line", "line": line, **place, **legend})
        named.add(mark.label)
    return found


def _color_axis(panel: Map, place: dict[str, float]) -> dict[str, Any]:
    text = "" if panel.unit == panel.title else safe(panel.unit)
    title = {"text": text, "side": "right", "font": {"size": 12}}
    ends = {"cmin": panel.range[0], "cmax": panel.range[1]}
    return {"colorscale": COLOR_MAP.title(), **ends, "colorbar": {"title": title, **place}}


def _legend_height(picture: Picture, width: int) -> int:
    """Pixels that the legend takes, about; none where it would have one name."""
    panels = [panel for panel in picture.panels if isinstance(panel, Lines)]
    names = [LEGEND.get(line.kind, line.name) for panel in panels for line in panel.lines if line.name]
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
    """A title in lines that fit in so many pixels."""
    return "<br>".join(map(safe, textwrap.wrap(title, max(width // (LETTER + 1), 12)))) or ""


def safe(text: str) -> str:
    """A text without tags, which plotly reads."""
    return html.escape(text, quote=False)
