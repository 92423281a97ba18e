"""The figure of the threshold: what greedy responses are over p_cot, and the log-odds that decide."""

from __future__ import annotations

import numpy as np

from chainlift.claims import GO_ON, Finished, P, after, by_seed
from chainlift.measure.threshold import log_odds_line
from chainlift.report.figures.picture import Line, Lines, Mark, Picture
from chainlift.theory import closed_forms
from chainlift.theory.linear_model import go_on_log_odds

NEAR = 0.1
"""Of 1/3: the p_cot whose log-odds give the threshold."""


def pictures(finished: list[Finished]) -> list[Picture]:
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
        step = Line("predicted", (x[0], at, at, x[-1]), ((low, low, 1.0, 1.0),), "predicted")
        panels.append(
            Lines(title, "p_cot", title, (step, _measured(finished, key)), marks, y_range=(-0.03, 1.03), share=True)
        )
    grid = np.linspace(x[0], x[-1], 60)
    curves = [
        Line("predicted", tuple(grid), (tuple(go_on_log_odds(p, 2) for p in grid),), "predicted"),
        _measured(finished, GO_ON),
    ]
    if fitted is not None:
        curves.append(Line("fitted", tuple(grid), (tuple(fitted.at(grid)),), "fitted"))
    panels.append(Lines("log-odds of going on after y_1 = x_1", "p_cot", "log-odds", tuple(curves), marks))
    return [Picture("threshold-over-p", "Greedy answers become long at p_cot = 1/3", seeds, tuple(panels))]


def _measured(finished: list[Finished], key: str) -> Line:
    """What a summary's key is over p_cot."""
    values = by_seed(finished, after("pretrain", key), P)
    return Line("measured", tuple(values), tuple(zip(*values.values(), strict=True)))
