"""Exponents of power laws from times at several sizes."""

import numpy as np
import pytest

from chainlift.bench import growth
from chainlift.bench.growth import Growth, fitted
from chainlift.bench.machine import Machine
from chainlift.bench.timing import Comparison, Done, Work, in_turn
from chainlift.stages.recipe import Recipe

X = (25.0, 50.0, 100.0, 200.0)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5, 2.0])
def test_an_exact_power_law_is_found(exponent: float) -> None:
    b, low, high = fitted(X, [3 * x**exponent for x in X])
    assert (b, low, high) == pytest.approx((exponent, exponent, exponent), abs=1e-9)


def test_a_hand_computed_interval() -> None:
    """Logarithms 0, 1, 2 against 0, 2, 2: slope 1, residuals -1/3, 2/3, -1/3, so s^2 = 2/3 with one degree of freedom,
    the slope's standard error sqrt(2/3 / 2), and t = 12.706.
    """
    b, low, high = fitted(np.exp([0.0, 1.0, 2.0]).tolist(), np.exp([0.0, 2.0, 2.0]).tolist())
    assert b == pytest.approx(1)
    assert (high - b, b - low) == pytest.approx((12.706 / 3**0.5,) * 2, rel=1e-4)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Of 1000 fits, 95 % +- 2.7 % (four standard errors: false alarm in 1 of 16,000 seeds, and the seed is fixed)."""
    noise = np.random.default_rng(0).normal(scale=0.1, size=(1000, len(X)))
    intervals = [fitted(X, (np.asarray(X) ** 1.3 * np.exp(row)).tolist()) for row in noise]
    covered = sum(low <= 1.3 <= high for _, low, high in intervals) / len(intervals)
    assert abs(covered - 0.95) < 0.0276


def test_seconds_are_a_sequence() -> None:
    comparison = Comparison(growth.STAGE_1, "task.d", "float32", [])
    own = [
        [Done(8.0, Work(sequences=4)), Done(2.0, Work(sequences=2))],
        *([[Done(x, Work(sequences=1))] for x in X[1:]]),
    ]
    found = growth.grown(comparison, own)
    assert found.seconds == (1.5, 50, 100, 200)
    assert found.axis == "task.d"


def test_told_and_as_json() -> None:
    found = Growth("task.d", "an update, float32", X, X)
    assert found.line == "an update, float32: grows with task.d to the power of 1.00 [1.00, 1.00]"
    assert found.as_dict()["exponent"] == pytest.approx(1)
    assert found.as_dict()["exponent_ci95"] == pytest.approx([1, 1])


@pytest.mark.parametrize("axis", ["mixture.p_cot", "posttrain.group_size"])
def test_an_axis_is_timed_at_all_its_values(small: Recipe, axis: str) -> None:
    comparison = growth.comparison(small, axis, Machine())
    done = in_turn(comparison.cases, 1)
    found = growth.grown(comparison, [done[case.name] for case in comparison.cases])
    assert found.values == growth.AXES[axis][1]
    assert all(seconds > 0 for seconds in found.seconds)


def test_every_axis_is_a_key_of_the_recipe(small: Recipe) -> None:
    for axis, (_, values) in growth.AXES.items():
        assert len(growth.comparison(small, axis, Machine()).cases) == len(values)
