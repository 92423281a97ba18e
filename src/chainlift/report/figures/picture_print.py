"""A picture on paper: means with 95 % intervals over seeds, every seed's own value, and what is predicted.

Curves differ in colour and in marker, cells in lightness, so that a grey copy can be read; the colours are those of
Okabe and Ito, and cividis for cells, which colour-blind readers tell apart.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainlift.report.figures.curves import SAMPLED, THEORY
from chainlift.report.figures.picture import Line, Lines, Map, Picture, mean_over_seeds
from chainlift.report.figures.run_figures import save

COLOURS = (SAMPLED, "#0072B2", "#E69F00", "#56B4E9", "#000000", "#CC79A7", "#009E73")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FITTED = "#555555"
INK = "#222222"
COLUMNS = 3
PANEL = (4.0, 3.2)  # inches
CELL = (0.62, 0.42)
LETTERS = 28  # below a map
DASHES = ("-", "--", "-.", ":")
COLOUR_MAP = "cividis"


def write(picture: Picture, folder: Path) -> list[Path]:
    """The picture's files in a folder: pdf, png, and csv with every number that was drawn."""
    return save(folder / picture.name, draw(picture), picture.table())


def draw(picture: Picture) -> Figure:
    """The picture as a matplotlib figure: its panels in rows, one legend below."""
    count = len(picture.panels)
    columns = 2 if count == 4 else min(count, COLUMNS)
    rows = -(-count // columns)
    width = max(_width(panel) for panel in picture.panels)
    height = max(_height(panel) for panel in picture.panels)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax, panel in zip(axes.flat, picture.panels, strict=False):
        if isinstance(panel, Lines):
            _draw_lines(ax, panel)
        else:
            _draw_map(figure, ax, panel)
        ax.set_title(textwrap.fill(panel.title, int(8.5 * width)), loc="left", fontsize=10)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    handles = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2 * columns, frameon=False)
    return figure


def _draw_lines(ax: Axes, panel: Lines) -> None:
    """Predicted lines behind, then the measured ones in the order of their names' first coming."""
    measured = [line for line in panel.lines if not line.predicted]
    for line in panel.lines:
        if line.predicted:
            style, colour, label = ("-.", FITTED, "fitted") if line.fitted else ("--", THEORY, "predicted")
            ax.plot(line.x, line.values[0], style, color=colour, label=label, zorder=1)
    for number, line in enumerate(measured):
        _draw_measured(ax, line, number, panel)
    for mark in panel.marks:
        colour, style = {"predicted": (THEORY, ":"), "fitted": (FITTED, "-."), "event": (INK, ":")}[mark.kind]
        ax.axvline(mark.x, color=colour, linestyle=style, linewidth=1.2, label=mark.label, zorder=0)
    if panel.log_x:
        places = sorted({x for line in panel.lines for x in line.x})
        ax.set_xscale("log")
        ax.set_xticks(places, [f"{one:.4g}" for one in places])
        ax.set_xticks([], minor=True)
    if panel.log_y:
        ax.set_yscale("log")
    if panel.y_range:
        ax.set_ylim(*panel.y_range)
    ax.set_xlabel(panel.x_label)
    if panel.y_label != panel.title:
        ax.set_ylabel(panel.y_label)
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_measured(ax: Axes, line: Line, number: int, panel: Lines) -> None:
    """Mean and interval of each place, and the seeds' own values, faint."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    means, low, high = _over_seeds(line, panel)
    if panel.joined:
        dashes = DASHES[number % len(DASHES)]
        ax.plot(line.x, means, dashes, color=colour, label=line.name)
        ax.fill_between(line.x, low, high, color=colour, alpha=0.15, linewidth=0)
        for row in line.values:
            ax.plot(line.x, row, color=colour, alpha=0.35, linewidth=0.7)
        return
    ax.errorbar(line.x, means, (means - low, high - means), fmt="none", color=colour, capsize=3)
    ax.plot(line.x, means, marker, color=colour, markersize=5, label=line.name)
    for row in line.values:
        ax.plot(line.x, row, marker, color=colour, markersize=3, alpha=0.35)


def _over_seeds(line: Line, panel: Lines) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(means, lower ends, upper ends) of Student's t intervals at each place; the mean itself where there is none."""
    places = [
        mean_over_seeds(column, geometric=panel.log_y, share=panel.share) for column in zip(*line.values, strict=True)
    ]
    means = np.array([one.mean for one in places], dtype=float)
    low, high = (np.array(ends, dtype=float) for ends in zip(*((one.low, one.high) for one in places), strict=True))
    return means, np.where(np.isnan(low), means, low), np.where(np.isnan(high), means, high)


def _draw_map(figure: Figure, ax: Axes, panel: Map) -> None:
    """Means over seeds as colours, and as numbers where that is asked for."""
    means = np.nanmean(np.array(panel.values, dtype=float), axis=0)
    low, high = panel.range
    image = ax.imshow(means, aspect="auto", cmap=COLOUR_MAP, vmin=low, vmax=high)
    ax.set_xticks(*_ticks(panel.columns, LETTERS))
    ax.set_yticks(*_ticks(panel.rows, LETTERS * max(map(len, panel.rows))))
    ax.set_xlabel(panel.column_label)
    ax.set_ylabel(panel.row_label)
    if panel.written:
        for (row, column), mean in np.ndenumerate(means):
            dark = mean < (low + high) / 2
            told = f"{mean:.2f}" if high <= 1 else f"{mean:.3g}"
            ax.text(column, row, told, ha="center", va="center", fontsize=8, color="w" if dark else "k")
    figure.colorbar(image, ax=ax, label="" if panel.unit == panel.title else panel.unit)


def _ticks(names: tuple[str, ...], letters: int) -> tuple[list[int], list[str]]:
    """(places, names) of at most a dozen ticks, with about so many letters altogether."""
    step = max(-(-len(names) // 12), -(-sum(len(name) + 1 for name in names) // letters))
    return list(range(0, len(names), step)), list(names[::step])


def _width(panel: Lines | Map) -> float:
    return max(PANEL[0], CELL[0] * len(panel.columns) + 1.6) if isinstance(panel, Map) and panel.written else PANEL[0]


def _height(panel: Lines | Map) -> float:
    return max(PANEL[1], CELL[1] * len(panel.rows) + 1) if isinstance(panel, Map) and panel.written else PANEL[1]
