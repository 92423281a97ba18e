"""Figure of the threshold: greedy responses and the log-odds of going on over p_cot."""

from __future__ import annotations

import numpy as np

from chainlift.claims import GO_ON, Finished, P, by_seed, summary_value
from chainlift.measure.threshold import log_odds_line
from chainlift.report.figures.picture import Line, Lines, Mark, Picture
from chainlift.theory import closed_forms
from chainlift.theory.linear_model import go_on_log_odds

NEAR = 0.1
"""The fit of the threshold uses p_cot at most this far from 1/3."""


def pictures(finished: list[Finished]) -> list[Picture]:
    """(b) Greedy long share, accuracy and log-odds of going on over p_cot, with predicted and fitted curves."""
    seeds = tuple(sorted({run.recipe.seed for run in finished}))
    third = closed_forms.threshold(2)
    log_odds = by_seed(finished, summary_value("pretrain", GO_ON), P)
    x = np.array(list(log_odds))
    near = np.abs(x - third) <= NEAR
    marks: tuple[Mark, ...] = (Mark(third, "predicted: 1/3"),)
    try:
        fitted = log_odds_line(x[near], np.array(list(log_odds.values())).mean(axis=1)[near])
    except ValueError:  # they do not rise: there is nothing to draw, and the check fails
        fitted = None
    if fitted is not None:
        marks += (Mark(fitted.crossing, f"fitted: {fitted.crossing:.3f}", "fitted"),)
    panels = []
    for key, title, low in (
        ("greedy_long_share", "greedy long share", 0.0),
        ("greedy_accuracy", "greedy accuracy", 0.5),
    ):
        step = Line("predicted", (x[0], third, third, x[-1]), ((low, low, 1.0, 1.0),), "predicted")
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
    """The line of a summary's key over p_cot."""
    values = by_seed(finished, summary_value("pretrain", key), P)
    return Line("measured", tuple(values), tuple(zip(*values.values(), strict=True)))
