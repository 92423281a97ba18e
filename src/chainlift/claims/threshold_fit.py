"""Two estimates of the threshold over p_cot at which greedy responses become long, as a row of a claim's table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chainlift.claims.check import P
from chainlift.claims.finished import Finished, by_seed, summary_value
from chainlift.measure.finding import Finding
from chainlift.measure.threshold import flip_crossing, flip_interval, log_odds_crossing
from chainlift.stages.recipe import Recipe

GO_ON, FIRST_LEAD = "decision_go_on_log_odds", "decision_first_lead_log_odds"
LONG_OPENING = "decision_long_opening_log_odds"
DECISIONS = {GO_ON: "going on", FIRST_LEAD: "the opening token", LONG_OPENING: "the long form's opening"}


@dataclass(frozen=True)
class Threshold:
    """The threshold of each seed from a line through its log-odds, and that of all seeds from a logistic fit to flips.

    A seed whose log-odds do not rise with p_cot has no threshold; its value is nan, and the finding fails.
    """

    predicted: float
    allowed: float
    near: float = 1.0
    """The fits use runs whose p_cot is at most this far from the prediction."""
    key: str = GO_ON
    """The log-odds of the decision between short and long."""
    series: str = ""
    where: Callable[[Recipe], bool] = lambda recipe: True
    """Selects the runs by their recipes."""

    def __call__(self, finished: Sequence[Finished]) -> list[Finding]:
        """Two findings, or none if no runs are selected."""
        selected = [run for run in finished if self.where(run.recipe)]
        close = [run for run in selected if abs(run.recipe.mixture.last - self.predicted) <= self.near]
        if not selected:
            return []
        log_odds = by_seed(close, summary_value("pretrain", self.key), P)
        is_long = by_seed(close, lambda run: float(run.summary["pretrain"]["greedy_long_share"] > 0.5), P)
        p, flips = np.array(list(log_odds)), np.array(list(is_long.values())).T
        crossings = tuple(_crossing(p, row) for row in np.array(list(log_odds.values())).T)
        low, high = flip_interval(p, flips, np.random.default_rng(0))
        fitted = flip_crossing(np.tile(p, len(flips)), flips.ravel())
        note = f"all seeds together, bootstrap over seeds [{low:.4f}, {high:.4f}]"
        name, expected = f"threshold, from log-odds of {DECISIONS[self.key]}", (self.predicted, self.allowed)
        return [
            Finding(name, self.series, crossings, *expected),
            Finding("threshold, from greedy flips", self.series, (fitted,), *expected, note=note),
        ]


def _crossing(p: np.ndarray, log_odds: np.ndarray) -> float:
    """The p_cot at which one seed's log-odds cross 0; nan if they do not rise."""
    try:
        return log_odds_crossing(p, log_odds)
    except ValueError:
        return math.nan
