"""Figures for papers and slides: one pure function a figure, table and theory in, a matplotlib figure out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from chainlift.report.figures import curves
from chainlift.report.figures.curves import BASELINE, GREEDY, QUANTITIES, SAMPLED, THEORY
from chainlift.report.figures.reference import Reference, references
from chainlift.report.record import Record

COLOURS = {"greedy": GREEDY, "sampled": SAMPLED}
GROUPS = {"groups_all_right": THEORY, "groups_mixed": "#E69F00", "groups_all_wrong": SAMPLED}


def lift(record: Record) -> Figure:
    """Accuracy, length and long share over sequences, the stages side by side, theory as dotted lines."""
    panels = curves.panels(record)
    drawn = references(record)
    figure = Figure(figsize=(max(10, 4 * len(panels)), 7.2), layout="constrained")
    axes = figure.subplots(len(QUANTITIES), len(panels), squeeze=False, sharey="row", sharex="col")
    for column, panel in enumerate(panels):
        for row, (quantity, title) in enumerate(QUANTITIES.items()):
            ax = axes[row][column]
            for curve in curves.lift(record):
                if curve.panel == panel and curve.quantity == quantity:
                    _draw_curve(ax, record, curve)
            for reference in drawn:
                if (reference.stage, reference.quantity) == (panel, quantity):
                    _draw_reference(ax, reference)
            _tidy(ax)
            if column == 0:
                ax.set_ylabel(title)
    for column, (title, unit) in enumerate(panels.values()):
        axes[0][column].set_title(title[:1].upper() + title[1:], loc="left", fontweight="bold")
        axes[-1][column].set_xlabel(unit)
        axes[-1][column].xaxis.set_major_locator(MaxNLocator(5))
        axes[-1][column].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    handles = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=6, frameon=False)
    return figure


def _draw_curve(ax: Axes, record: Record, curve: curves.Curve) -> None:
    """A curve with its interval, and the level that theory predicts."""
    colour = BASELINE if curve.is_baseline else COLOURS[curve.mode]
    style = "--" if curve.mode == "sampled" else "-"
    ax.plot(curve.sequences, curve.values, style, color=colour, label=curve.name, marker="o", markersize=2.5)
    if curve.low is not None and curve.high is not None:
        ax.fill_between(curve.sequences, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    level = curves.theory(record, curve.panel, curve.mode, curve.quantity)
    if level is not None and not curve.is_baseline:
        ax.axhline(level, color=THEORY, linestyle=":", linewidth=1.4, label="theory")


def _draw_reference(ax: Axes, reference: Reference) -> None:
    """The reference of RL, thin and behind what was measured; solid for greedy, dashed for sampled, as there.

    Which one it is stands on the page (Reference.name); here the legend must fit below the panels.
    """
    ax.plot(
        reference.sequences,
        reference.values,
        "--" if reference.mode == "sampled" else "-",
        color=THEORY,
        linewidth=1,
        alpha=0.8,
        zorder=1,
        marker="D" if reference.by_round else "",
        markersize=4,
        markerfacecolor="none",
        label="noise-free reference",
    )


def lengths(record: Record) -> Figure:
    """Shares of response lengths at the end of each stage, greedy and sampled."""
    table = curves.lengths_table(record)
    names = {stage.name: stage.column for stage in record.measured_stages}
    stages = list(names)
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = figure.subplots(1, max(len(stages), 1), squeeze=False, sharey=True)[0]
    for ax, stage in zip(axes, stages, strict=False):
        for offset, mode in ((-0.2, "greedy"), (0.2, "sampled")):
            rows = [row for row in table if row["stage"] == stage and row["mode"] == mode]
            ax.bar(
                [row["length"] + offset for row in rows],
                [row["share"] for row in rows],
                width=0.4,
                color=COLOURS[mode],
                label=mode,
            )
        ax.set_title(names[stage], loc="left", fontweight="bold")
        ax.set_xlabel("response length (tokens)")
        _tidy(ax)
    axes[0].set_ylabel("share of responses")
    axes[0].legend(frameon=False)
    return figure


def signal(record: Record, stage: str) -> Figure:
    """How much signal the groups carry at each RL update, the size of the gradient, and the entropy of the samples."""
    table = curves.signal_table(record, stage)
    steps = [row["step"] for row in table]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.stackplot(
        steps,
        [[row[name] for row in table] for name in GROUPS],
        labels=[name.replace("_", " ") for name in GROUPS],
        colors=list(GROUPS.values()),
        alpha=0.85,
    )
    left.set_ylabel("share of groups")
    left.set_ylim(0, 1)
    left.legend(loc="lower left", framealpha=0.8)
    middle.plot(steps, [row["grad_norm"] for row in table], color=GREEDY)
    middle.set_ylabel("gradient norm before clipping")
    right.plot(steps, [row["entropy"] for row in table], color=GREEDY)
    right.set_ylabel("entropy of the samples (nats a token)")
    for ax in (middle, right):
        ax.set_ylim(bottom=0)
    for ax in (left, middle, right):
        ax.set_xlabel("RL updates")
        _tidy(ax)
    return figure


def write_all(record: Record) -> list[Path]:
    """The files written into the run folder's figures/: pdf, png and csv of each figure that has data."""
    folder = record.folder / "figures"
    folder.mkdir(exist_ok=True)
    made: list[tuple[str, Figure, list[dict[str, Any]]]] = []
    if record.measured_stages:
        made.append(("lift", lift(record), curves.lift_table(record)))
        made.append(("lengths", lengths(record), curves.lengths_table(record)))
    made += [
        (f"signal-{stage.name}", signal(record, stage.name), curves.signal_table(record, stage.name))
        for stage in curves.signal_stages(record)
    ]
    return [path for name, figure, table in made for path in save(folder / name, figure, table)]


def save(path: Path, figure: Figure, table: list[dict[str, Any]]) -> list[Path]:
    """`path` with the endings .pdf, .png and .csv: the figure twice, and the numbers that it shows."""
    paths = [path.with_suffix(ending) for ending in (".pdf", ".png", ".csv")]
    figure.savefig(paths[0])
    figure.set_layout_engine("none")  # what was found for the first file is kept: it takes half of the time
    figure.savefig(paths[1], dpi=160)
    with paths[2].open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return paths


def _tidy(ax: Axes) -> None:
    """No box, light grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
