"""Figure of the threshold on a language model: greedy long share and log-odds over p_cot, for each mass q."""

from __future__ import annotations

import math

import numpy as np

from chainlift.claims import LONG_OPENING, Finished, P, by_seed, summary_value
from chainlift.report.figures.picture import Line, Lines, Mark, Picture
from chainlift.text.task import is_text
from chainlift.theory.closed_forms import critical_share


def pictures(finished: list[Finished]) -> list[Picture]:
    """Greedy long share, and log-odds of the opening beside the predicted curve, over p_cot."""
    seeds = tuple(sorted({run.recipe.seed for run in finished}))
    by_mass: dict[float, list[Finished]] = {}
    for run in finished:
        assert is_text(run.recipe.task)
        by_mass.setdefault(run.recipe.task.template.opening_mass or 0.0, []).append(run)
    shares, odds, marks = [], [], []
    for q, runs in sorted(by_mass.items(), reverse=True):
        marks.append(Mark(critical_share(q), f"1/(1 + q), q = {q:g}"))
        shares.append(_line(runs, "greedy_long_share", q))
        x = np.linspace(min(run.recipe.mixture.last for run in runs), max(run.recipe.mixture.last for run in runs), 40)
        curve = tuple(math.log(p * q / (1 - p)) for p in x)
        odds += [Line(f"predicted, q = {q:g}", tuple(x), (curve,), "predicted"), _line(runs, LONG_OPENING, q)]
    panels = (
        Lines("greedy long share", "p_cot", "greedy long share", tuple(shares), tuple(marks), share=True),
        Lines("log-odds of the long opening", "p_cot", "log-odds", tuple(odds), tuple(marks)),
    )
    return [Picture("llm-threshold-over-p", "Greedy answers become long at p_cot = 1/(1 + q)", seeds, panels)]


def _line(runs: list[Finished], key: str, q: float) -> Line:
    values = by_seed(runs, summary_value("pretrain", key), P)
    return Line(f"q = {q:g}", tuple(values), tuple(zip(*values.values(), strict=True)))
