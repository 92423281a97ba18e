"""What claims over p_cot share: a finding for each p_cot, and the threshold at which greedy responses become long."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from chainlift.measure.finding import Finding
from chainlift.measure.threshold import flip_crossing, flip_interval, log_odds_crossing
from chainlift.sweep.claims import after, by_seed
from chainlift.sweep.grid import Finished

P = "mixture.p_cot"
GO_ON = "decision_go_on_log_odds"
FIRST_LEAD = "decision_first_lead_log_odds"


def over_p(
    finished: list[Finished],
    key: str,
    quantity: str,
    predicted: Callable[[float], float | None] = lambda p: None,
    tolerance: float = 0.0,
    *,
    series: str = "",
    stage: str = "pretrain",
) -> list[Finding]:
    """A finding for each p_cot: what the runs measured after a stage, in every seed, against a function of p_cot."""
    name = f"{series}, " if series else ""
    return [
        Finding(
            quantity, f"{name}p_cot {p:g}", values, predicted(p), tolerance, x=p, series=series, share=is_share(key)
        )
        for p, values in by_seed(finished, after(stage, key), P).items()
    ]


def threshold(
    finished: list[Finished],
    predicted: float,
    tolerance: float,
    *,
    near: float = 1.0,
    key: str = GO_ON,
    decision: str = "going on",
    series: str = "",
) -> list[Finding]:
    """The threshold of each seed by the line through its log-odds, and by a logistic fit to all seeds' flips.

    `key`: the log-odds that decide, of runs within `near` of the prediction. A seed whose log-odds do not rise with
    p_cot has no threshold; its value is then not a number, and the line fails.
    """
    close = [run for run in finished if abs(run.recipe.mixture.last - predicted) <= near]
    odds = by_seed(close, after("pretrain", key), P)
    long = by_seed(close, lambda run: float(run.summary["pretrain"]["greedy_long_share"] > 0.5), P)
    p, per_seed = np.array(list(odds)), np.array(list(odds.values())).T
    crossings = tuple(_crossing(p, row) for row in per_seed)
    flips = np.array(list(long.values())).T
    low, high = flip_interval(p, flips, np.random.default_rng(0))
    fitted = flip_crossing(np.tile(p, len(flips)), flips.ravel())
    note = f"all seeds together, bootstrap over seeds [{low:.4f}, {high:.4f}]"
    return [
        Finding(f"threshold, from log-odds of {decision}", series, crossings, predicted, tolerance),
        Finding("threshold, from greedy flips", series, (fitted,), predicted, tolerance, note=note),
    ]


def _crossing(p: np.ndarray, log_odds: np.ndarray) -> float:
    try:
        return log_odds_crossing(p, log_odds)
    except ValueError:
        return math.nan


def is_share(key: str) -> bool:
    """Whether a summary's key holds a share of prompts or responses."""
    return key.endswith(("accuracy", "share", "exactness"))


def by_quantity(findings: list[Finding]) -> list[Finding]:
    """The findings with those of one quantity side by side, quantities in the order in which they first come."""
    order = list(dict.fromkeys(finding.quantity for finding in findings))
    return sorted(findings, key=lambda finding: order.index(finding.quantity))
