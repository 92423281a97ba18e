"""Figures for print, drawn by matplotlib: means with 95 % intervals, every seed's values, and predictions."""

from __future__ import annotations

import csv
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chainlift.report.figures.means import line_means, map_means, positions
from chainlift.report.figures.palette import COLOR_MAP, LEGEND, MARKS, Look, look_of, looks
from chainlift.report.figures.picture import Line, Lines, Map, Picture

INK = "#222222"
PANEL, GRID_PANEL = (4.0, 3.2), (5.0, 2.3)  # inches
CELL = (0.62, 0.42)
LETTERS = 28  # below a map
MARKERS = {"circle": "o", "square": "s", "triangle-up": "^", "diamond": "D", "triangle-down": "v", "cross": "P"}
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
BAR = 0.8  # total width of the bars at a whole number


def write(picture: Picture, folder: Path) -> list[Path]:
    """Write a picture into a folder as pdf, png, and csv with every number drawn; return the paths."""
    paths = [folder / f"{picture.name}.{ending}" for ending in ("pdf", "png", "csv")]
    figure, table = draw(picture), picture.table()
    figure.savefig(paths[0])
    figure.set_layout_engine("none")  # keep the first file's layout, which takes half of the time
    figure.savefig(paths[1], dpi=160)
    with paths[2].open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return paths


def draw(picture: Picture) -> Figure:
    """The picture as a matplotlib figure: panels in rows, one legend below."""
    count = len(picture.panels)
    columns = picture.columns or (2 if count == 4 else min(count, 3))
    rows = -(-count // columns)
    panel_sizes = [_size(panel, is_flat=picture.columns > 0 and rows > 1) for panel in picture.panels]
    width, height = (max(sizes) for sizes in zip(*panel_sizes, strict=True))
    figure = Figure(figsize=(width * columns, height * rows + 0.3), layout="constrained")
    shared_axes: Any = {"sharex": "col", "sharey": "row"} if picture.columns else {}
    axes, of_main = figure.subplots(rows, columns, squeeze=False, **shared_axes), looks(picture)
    for number, (ax, panel) in enumerate(zip(axes.flat, picture.panels, strict=False)):
        is_inner = picture.columns > 0  # of a grid, which has labels at its edges only
        if isinstance(panel, Lines):
            _draw_lines(ax, panel, of_main)
        else:
            _draw_map(figure, ax, panel)
        if not is_inner or number < columns:
            title = _literal(textwrap.fill(panel.title, int(8.5 * width)))
            ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
        if is_inner and number + columns < count:
            ax.set_xlabel("")
        if is_inner and number % columns:
            ax.set_ylabel("")
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    handles = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if handles:
        num_letters = int(13 * width * columns)  # that fit side by side; a line's sample and a gap count as 8
        fits = sum(len(name) + 8 for name in handles) < num_letters
        num_columns = len(handles) if fits else max(1, num_letters // (max(map(len, handles)) + 8))
        names = map(_literal, handles)
        figure.legend(handles.values(), names, loc="outside lower center", ncols=num_columns, frameon=False)
    return figure


def _draw_lines(ax: Axes, panel: Lines, of_main: dict[str, Look]) -> None:
    """Draw a panel of lines: predictions first, measurements above them."""
    for line in panel.lines:
        if line.kind != "main":
            look, style = look_of(line, of_main), "steps-post" if line.steps else "default"
            dash, marker = DASHES[look.dash], "_" if len(line.x) == 1 else ""
            thin: Any = {"linewidth": look.width * 0.75, "drawstyle": style, "zorder": 1, "markersize": 14}
            ax.plot(line.x, line.values[0], dash, marker=marker, color=look.color, label=LEGEND[line.kind], **thin)
    if panel.form == "areas":
        values = [_ends(line, panel)[0] for line in panel.main()]
        names, colors = zip(*((line.name, of_main[line.name].color) for line in panel.main()), strict=True)
        ax.stackplot(panel.lines[0].x, values, labels=names, colors=colors, alpha=0.85)
    for number, line in enumerate(panel.main()):
        if panel.form == "bars":
            width = BAR / len(panel.main())
            positions = [x + (number + 0.5) * width - BAR / 2 for x in line.x]
            ax.bar(positions, line.values[0], width=width, color=of_main[line.name].color, label=line.name)
        elif panel.form != "areas":
            _draw_measured(ax, line, of_main[line.name], panel)
    for mark in panel.marks:
        look = MARKS[mark.kind]
        ax.axvline(mark.x, color=look.color or INK, linestyle=DASHES[look.dash], label=mark.label, zorder=0)
    if panel.log_x:
        tick_places = sorted({x for line in panel.lines for x in line.x})
        ax.set_xscale("log")
        ax.set_xticks(tick_places, [f"{x:.4g}" for x in tick_places])
        ax.set_xticks([], minor=True)
    elif all(x == int(x) for line in panel.lines for x in line.x):
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.xaxis.set_major_formatter("{x:,.0f}")
    if panel.log_y:
        ax.set_yscale("log")
    if x_range := panel.x_range():
        ax.set_xlim(*x_range)
    if panel.y_range:
        ax.set_ylim(*panel.y_range)
    ax.set_xlabel(_literal(panel.x_label))
    if panel.y_label != panel.title:
        ax.set_ylabel(_literal(panel.y_label))
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_measured(ax: Axes, line: Line, look: Look, panel: Lines) -> None:
    """Draw the mean and interval at each place, and the seeds' values, faint."""
    color, marker, is_many = look.color, MARKERS.get(look.marker, "X"), len(line.values) > 1
    means, low, high = _ends(line, panel)
    if panel.form == "curves":
        style: Any = {"drawstyle": "steps-post" if line.steps else "default"}
        dots = "" if is_many or len(line.x) > 60 else marker
        label = line.name or None
        ax.plot(line.x, means, DASHES[look.dash], color=color, label=label, marker=dots, markersize=2.5, **style)
        ax.fill_between(line.x, low, high, color=color, alpha=0.15, linewidth=0)
        for row in line.values if is_many else ():
            ax.plot(line.x, row, color=color, alpha=0.35, linewidth=0.7, **style)
        return
    x = positions(line, panel)
    ax.errorbar(x, means, (means - low, high - means), fmt="none", color=color, capsize=3)
    ax.plot(x, means, marker, color=color, markersize=5, label=line.name)
    for row in line.values if is_many else ():
        ax.plot(x, row, marker, color=color, markersize=3, alpha=0.35)


def _ends(line: Line, panel: Lines) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(means, lower ends, upper ends) of the intervals at each place; without an interval both ends are the mean."""
    seed_means = line_means(line, panel)
    means = np.array([mean.mean for mean in seed_means], dtype=float)
    low, high = (
        np.array(ends, dtype=float) for ends in zip(*((mean.low, mean.high) for mean in seed_means), strict=True)
    )
    return means, np.where(np.isnan(low), means, low), np.where(np.isnan(high), means, high)


def _draw_map(figure: Figure, ax: Axes, panel: Map) -> None:
    """Draw a map of means over seeds as colors, and as numbers if `panel.written`."""
    means = np.array([[cell.mean for cell in row] for row in map_means(panel)], dtype=float)
    low, high = panel.range
    colors: Any = {"cmap": COLOR_MAP, "vmin": low, "vmax": high}
    if panel.row_ticks:
        image: Any = ax.pcolormesh(panel.columns, panel.rows, means, shading="nearest", rasterized=True, **colors)
        ax.set_yscale("log" if panel.log_rows else "linear")
        ax.set_yticks(panel.row_ticks, [f"{tick:g}" for tick in panel.row_ticks])
        ax.minorticks_off()
        ax.set_autoscale_on(False)
    else:
        image = ax.imshow(means, aspect="auto", **colors)
        ax.set_xticks(*_ticks([str(name) for name in panel.columns], LETTERS))
        ax.set_yticks(*_ticks([str(name) for name in panel.rows], LETTERS * max(len(str(row)) for row in panel.rows)))
    for line in panel.lines:
        is_point, color = len(line.x) == 1, "black" if line.kind == "predicted" else "white"
        edge: Any = {"marker": "o", "markeredgecolor": "black", "markersize": 8, "clip_on": False} if is_point else {}
        width = 1.6 if line.kind == "predicted" else 0.8
        label, dash = line.name if line in panel.in_legend() else None, ":" if line.is_dotted() else "-"
        ax.plot(line.x, line.values[0], dash, color=color, linewidth=width, label=label, zorder=3 + is_point, **edge)
        if line.kind == "reference" and not line.is_dotted():
            index = 3 * len(line.x) // 8
            ax.text(line.x[index], line.values[0][index], f" {line.name}", color="white", fontsize=8)
    ax.set_xlabel(_literal(panel.column_label))
    ax.set_ylabel(_literal(panel.row_label))
    for (row, column), mean in np.ndenumerate(means) if panel.written else ():
        is_dark = mean < (low + high) / 2
        text = f"{mean:.2f}" if high <= 1 else f"{mean:.3g}"
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color="w" if is_dark else "k")
    figure.colorbar(image, ax=ax, label="" if panel.unit == panel.title else _literal(panel.unit))


def _ticks(names: list[str], letters: int) -> tuple[list[int], list[str]]:
    """(places, names) of at most 12 ticks with about `letters` letters in total."""
    step = max(-(-len(names) // 12), -(-sum(len(name) + 1 for name in names) // letters))
    return list(range(0, len(names), step)), list(map(_literal, names[::step]))


def _literal(text: str) -> str:
    """Text whose dollar signs, such as those of a stage's title, matplotlib does not take for formulas."""
    return text.replace("$", r"\$")


def _size(panel: Lines | Map, *, is_flat: bool) -> tuple[float, float]:
    """(width, height) of a panel in inches."""
    if isinstance(panel, Map) and panel.written:
        return max(PANEL[0], CELL[0] * len(panel.columns) + 1.6), max(PANEL[1], CELL[1] * len(panel.rows) + 1)
    return GRID_PANEL if is_flat else PANEL
