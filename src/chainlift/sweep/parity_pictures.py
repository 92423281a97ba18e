"""The figures of the claims on parity: accuracy and length over both stages, response lengths, the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainlift.measure.threshold import log_odds_line
from chainlift.report.picture import Line, Lines, Map, Mark, Picture
from chainlift.sweep.claims import after, by_seed
from chainlift.sweep.grid import Finished
from chainlift.sweep.over_p import GO_ON, P
from chainlift.theory import closed_forms
from chainlift.theory.linear_model import go_on_log_odds

NEAR = 0.1
"""Of 1/3: the p_cot whose log-odds give the threshold."""


def lifts_pictures(finished: list[Finished]) -> list[Picture]:
    """(a) accuracy and length over sequences, the switch marked; (d) the lengths of sampled responses over training."""
    seeds = tuple(run.recipe.seed for run in finished)
    switch = finished[0].summary["pretrain"]["sequences"]
    rows = [[*run.evaluations("pretrain"), *run.evaluations("posttrain")] for run in finished]
    x = tuple(
        float(row["sequences"] + (switch if row["stage"] == "posttrain" else 0)) for row in rows[0]
    )  # demonstrations, then samples
    d: int = finished[0].recipe.setting("task.d")
    unit, marks = "sequences: demonstrations, then RL's samples", (Mark(float(switch), "RL begins", "event"),)
    headline = Picture("headline", "Next-token prediction, then RL", seeds, _courses(rows, x, unit, d, marks))
    return [headline, Picture("lengths", "Response lengths over training", seeds, (_length_map(rows),))]


def stalls_pictures(finished: list[Finished]) -> list[Picture]:
    """Accuracy and length over the demonstrations of next-token prediction alone."""
    rows = [run.evaluations("pretrain") for run in finished]
    d: int = finished[0].recipe.setting("task.d")
    panels = _courses(rows, tuple(float(row["sequences"]) for row in rows[0]), "demonstrations", d)
    seeds = tuple(run.recipe.seed for run in finished)
    return [Picture("stalls", "Next-token prediction alone", seeds, panels)]


def _courses(
    rows: list[list[dict[str, Any]]], x: tuple[float, ...], unit: str, d: int, marks: tuple[Mark, ...] = ()
) -> tuple[Lines, ...]:
    """Greedy and sampled accuracy, then mean length, of evaluations (one list a seed) at the places x."""
    panels = []
    for key, title, top in (("accuracy", "accuracy", 1.02), ("length_mean", "mean response length (tokens)", 1.02 * d)):
        lines = tuple(
            Line(mode, x, tuple(tuple(float(row[mode][key]) for row in one) for one in rows))
            for mode in ("greedy", "sampled")
        )
        share = key == "accuracy"
        panels.append(Lines(title, unit, title, lines, marks, joined=True, share=share, y_range=(0.0, top)))
    return tuple(panels)


def _length_map(rows: list[list[dict[str, Any]]]) -> Map:
    """Shares of sampled responses by length (rows, longest on top) and evaluation (columns)."""
    longest = max(int(length) for one in rows for row in one for length in row["sampled"]["length_histogram"])
    edges = sorted({0, 1, 2, *np.linspace(2, longest, 9).round().astype(int).tolist()})
    bins = [(low, high) for low, high in zip(edges, [*edges[1:], longest + 1], strict=True) if high > low]

    def share(row: dict[str, Any], low: int, high: int) -> float:
        counts = row["sampled"]["length_histogram"]
        inside = sum(count for length, count in counts.items() if low <= int(length) < high)
        return inside / sum(counts.values())

    names = tuple(str(low) if high == low + 1 else f"{low} to {high - 1}" for low, high in reversed(bins))
    stages = {"pretrain": "NTP", "posttrain": "RL"}
    return Map(
        title="Lengths of sampled responses over training",
        row_label="response length (tokens)",
        column_label="updates",
        rows=names,
        columns=tuple(f"{stages[row['stage']]} {row['step']}" for row in rows[0]),
        values=tuple(tuple(tuple(share(row, *one) for row in seed) for one in reversed(bins)) for seed in rows),
        unit="share of the samples",
        range=(0.0, 1.0),
    )


def threshold_pictures(finished: list[Finished]) -> list[Picture]:
    """(b) greedy long share, accuracy and the log-odds that decide, over p_cot, with predicted and fitted curves."""
    seeds = tuple(sorted({run.recipe.seed for run in finished}))
    at = closed_forms.threshold(2)
    odds = by_seed(finished, after("pretrain", GO_ON), P)
    x = np.array(list(odds))
    near = np.abs(x - at) <= NEAR
    marks: tuple[Mark, ...] = (Mark(at, "predicted: 1/3"),)
    try:
        fitted = log_odds_line(x[near], np.array(list(odds.values())).mean(axis=1)[near])
    except ValueError:  # they do not rise: nothing to draw, and the check says so
        fitted = None
    if fitted is not None:
        marks += (Mark(fitted.crossing, f"fitted: {fitted.crossing:.3f}", "fitted"),)
    panels = []
    for key, title, low in (
        ("greedy_long_share", "greedy long share", 0.0),
        ("greedy_accuracy", "greedy accuracy", 0.5),
    ):
        step = Line("predicted", (x[0], at, at, x[-1]), ((low, low, 1.0, 1.0),), predicted=True)
        panels.append(
            Lines(title, "p_cot", title, (step, _measured(finished, key)), marks, y_range=(-0.03, 1.03), share=True)
        )
    grid = np.linspace(x[0], x[-1], 60)
    curves = [
        Line("predicted", tuple(grid), (tuple(go_on_log_odds(p, 2) for p in grid),), predicted=True),
        _measured(finished, GO_ON),
    ]
    if fitted is not None:
        curves.append(Line("fitted", tuple(grid), (tuple(fitted.at(grid)),), predicted=True, fitted=True))
    panels.append(Lines("log-odds of going on after y_1 = x_1", "p_cot", "log-odds", tuple(curves), marks))
    return [Picture("threshold-over-p", "Greedy answers become long at p_cot = 1/3", seeds, tuple(panels))]


def _measured(finished: list[Finished], key: str) -> Line:
    """What a summary's key is over p_cot."""
    values = by_seed(finished, after("pretrain", key), P)
    return Line("measured", tuple(values), tuple(zip(*values.values(), strict=True)))
