"""A claim's findings drawn: measured means with intervals over seeds, every seed's own value, and the prediction."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainlift.measure.finding import Finding
from chainlift.report.curves import SAMPLED, THEORY

COLOURS = (SAMPLED, "#0072B2", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
COLUMNS = 3


def claim_figure(findings: Sequence[Finding]) -> Figure | None:
    """A panel for each quantity that is measured at several x; None where there is none."""
    panels: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.x is not None:
            panels.setdefault(finding.quantity, []).append(finding)
    panels = {quantity: lines for quantity, lines in panels.items() if len(lines) > 1}
    if not panels:
        return None
    columns = 2 if len(panels) == 4 else min(len(panels), COLUMNS)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax, (quantity, lines) in zip(axes.flat, panels.items(), strict=False):
        _draw(ax, lines)
        ax.set_title(textwrap.fill(quantity, 44), loc="left", fontsize=10)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    handles = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2 * columns, frameon=False)
    return figure


def _draw(ax: Axes, lines: list[Finding]) -> None:
    """One quantity: a curve for each series."""
    series = dict.fromkeys(line.series for line in lines)
    for number, name in enumerate(series):
        own = sorted((line for line in lines if line.series == name), key=_place)
        x, means = [_place(line) for line in own], [line.mean for line in own]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        known = [(at, line.predicted) for at, line in zip(x, own, strict=True) if line.predicted is not None]
        if known:
            ax.plot(*zip(*known, strict=True), "--", color=THEORY, label="predicted", zorder=1)
        if all(math.isfinite(line.ci95[0]) for line in own):
            low = [line.mean - line.ci95[0] for line in own]
            high = [line.ci95[1] - line.mean for line in own]
            ax.errorbar(x, means, (low, high), fmt="none", color=colour, capsize=3)
        ax.plot(x, means, marker, color=colour, markersize=5, label=name or "mean over seeds, 95 %")
        for at, line in zip(x, own, strict=True):
            ax.plot([at] * len(line.values), line.values, marker, color=colour, markersize=3, alpha=0.35)
    _logarithmic(ax, lines)
    ax.set_xlabel(lines[0].axis)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def _logarithmic(ax: Axes, lines: list[Finding]) -> None:
    """Logarithms on an axis that spans a factor of ten: where both do, a power law is a line."""
    x = sorted({_place(line) for line in lines})
    if min(x) > 0 and max(x) >= 10 * min(x):
        ax.set_xscale("log")
        ax.set_xticks(x, [f"{one:.4g}" for one in x])
        ax.set_xticks([], minor=True)
    if lines[0].geometric:
        ax.set_yscale("log")


def _place(finding: Finding) -> float:
    assert finding.x is not None
    return finding.x
