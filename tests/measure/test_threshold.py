"""The estimates of a threshold come back from data whose threshold is known."""

import math

import numpy as np
import pytest

from chainlift.measure.finding import Finding, verdict
from chainlift.measure.statistics import power_law
from chainlift.measure.threshold import flip_crossing, flip_interval, log_odds_crossing
from chainlift.theory.linear_model import go_on_log_odds

P = np.array([0.25, 0.3, 0.32, 0.34, 0.36, 0.4])


@pytest.mark.parametrize("modulus", [2, 3, 7])
def test_the_exact_log_odds_cross_at_the_closed_form(modulus: int) -> None:
    p = np.linspace(0.5, 1.5, 6) / (modulus + 1)
    odds = [go_on_log_odds(value, modulus) for value in p]
    assert log_odds_crossing(p, odds) == pytest.approx(1 / (modulus + 1), abs=1e-12)


@pytest.mark.parametrize(("p", "odds"), [([0.3], [0.1]), ([0.3, 0.3], [0.1, 0.2]), ([0.3, 0.4], [0.2, 0.1])])
def test_no_crossing_is_told(p: list[float], odds: list[float]) -> None:
    with pytest.raises(ValueError, match="cross"):
        log_odds_crossing(p, odds)


def test_flips_with_a_gap_cross_in_its_middle() -> None:
    assert flip_crossing(P, P > 0.33) == pytest.approx(0.33, abs=2e-3)
    assert flip_crossing(P, P > 0.31) == pytest.approx(0.31, abs=2e-3)
    assert math.isnan(flip_crossing(P, np.zeros(len(P))))


def test_noisy_flips_give_the_even_chance_and_their_interval() -> None:
    """400 seeds of flips with P(long) = sigmoid(40 (p - .33)); the fit's standard error is about .002."""
    generator = np.random.default_rng(1)
    chance = 1 / (1 + np.exp(-40 * (P - 0.33)))
    long = (generator.random((400, len(P))) < chance).astype(float)
    fitted = flip_crossing(np.tile(P, 400), long.ravel())
    assert fitted == pytest.approx(0.33, abs=0.01)
    low, high = flip_interval(P, long, generator, resamples=200)
    assert low < fitted < high
    assert high - low < 0.02


def test_the_interval_is_between_quantiles_of_crossings_over_drawn_seeds() -> None:
    generator = np.random.default_rng(3)
    long = (generator.random((12, len(P))) < 1 / (1 + np.exp(-40 * (P - 0.33)))).astype(float)
    drawn = np.random.default_rng(4).integers(12, size=(40, 12))
    crossings = [flip_crossing(np.tile(P, 12), long[seeds].ravel()) for seeds in drawn]
    found = flip_interval(P, long, np.random.default_rng(4), level=0.8, resamples=40)
    assert found == pytest.approx(np.quantile(crossings, [0.1, 0.9]))


def test_a_power_law_comes_back() -> None:
    x = np.array([10, 30, 100, 300])
    assert power_law(x, 7 * x**1.5) == pytest.approx(1.5)


def test_findings_are_judged_by_every_seed_or_by_the_mean() -> None:
    near = Finding("share", "p .1", (0.09, 0.12), predicted=0.1, tolerance=0.02)
    assert near.worst == pytest.approx(0.02)
    assert near.holds
    far = Finding("share", "p .1", (0.07, 0.13), predicted=0.1, tolerance=0.02)
    assert far.holds is False
    assert Finding("share", "p .1", (0.07, 0.13), predicted=0.1, tolerance=0.02, check="mean").holds
    assert Finding("share", "", (0.07, 0.12), predicted=0.1, check="interval").holds
    assert Finding("share", "", (0.07, 0.071), predicted=0.1, check="interval").holds is False
    assert Finding("share", "", (0.1, 0.12), predicted=0.1, check="at_least").holds
    assert Finding("share", "", (0.07, 0.12), predicted=0.1, check="at_least").holds is False
    assert Finding("rounds", "", (math.inf, 3.0), predicted=3, tolerance=0).holds is False
    assert Finding("share", "", (0.1, math.nan), predicted=0.1, tolerance=1).holds is False
    factors = Finding("count", "", (10.0, 1000.0), geometric=True)
    assert factors.mean == pytest.approx(100)
    assert 0 < factors.ci95[0] < 10
    free = Finding("exponent", "", (1.0, 1.2))
    assert free.holds is None
    assert verdict([near, free]) == "holds"
    assert verdict([near, far, free]) == "fails in 1 of 2 lines"
    assert verdict([free]) == "measured"
