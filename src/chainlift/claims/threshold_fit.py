"""The threshold over p_cot at which greedy responses become long: two estimates, as a row of a claim's table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chainlift.claims.check import P
from chainlift.claims.finished import Finished, after, by_seed
from chainlift.measure.finding import Finding
from chainlift.measure.threshold import flip_crossing, flip_interval, log_odds_crossing
from chainlift.stages.recipe import Recipe

GO_ON, FIRST_LEAD = "decision_go_on_log_odds", "decision_first_lead_log_odds"
DECISIONS = {GO_ON: "going on", FIRST_LEAD: "the opening token"}


@dataclass(frozen=True)
class Threshold:
    """The threshold of each seed by the line through its log-odds, and by a logistic fit to all seeds' flips.

    A seed whose log-odds do not rise with p_cot has no threshold; its value is then not a number, and the line fails.
    """

    predicted: float
    allowed: float
    near: float = 1.0
    """Of the prediction: the p_cot whose runs enter the fits."""
    key: str = GO_ON
    """The log-odds that decide."""
    series: str = ""
    where: Callable[[Recipe], bool] = lambda recipe: True
    """Which runs."""

    def __call__(self, finished: Sequence[Finished]) -> list[Finding]:
        """Two findings, or none without runs."""
        chosen = [run for run in finished if self.where(run.recipe)]
        close = [run for run in chosen if abs(run.recipe.mixture.last - self.predicted) <= self.near]
        if not chosen:
            return []
        odds = by_seed(close, after("pretrain", self.key), P)
        long = by_seed(close, lambda run: float(run.summary["pretrain"]["greedy_long_share"] > 0.5), P)
        p, flips = np.array(list(odds)), np.array(list(long.values())).T
        crossings = tuple(_crossing(p, row) for row in np.array(list(odds.values())).T)
        low, high = flip_interval(p, flips, np.random.default_rng(0))
        fitted = flip_crossing(np.tile(p, len(flips)), flips.ravel())
        note = f"all seeds together, bootstrap over seeds [{low:.4f}, {high:.4f}]"
        name, expected = f"threshold, from log-odds of {DECISIONS[self.key]}", (self.predicted, self.allowed)
        return [
            Finding(name, self.series, crossings, *expected),
            Finding("threshold, from greedy flips", self.series, (fitted,), *expected, note=note),
        ]


def _crossing(p: np.ndarray, log_odds: np.ndarray) -> float:
    try:
        return log_odds_crossing(p, log_odds)
    except ValueError:
        return math.nan
