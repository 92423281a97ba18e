"""Intervals and pass@k against tables, exact enumeration and known limits; nothing here is left to chance."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlift.measure.statistics import mean_interval, pass_at_k, t_quantile, wilson

level = st.floats(0.01, 0.999)
numbers = st.floats(-1e6, 1e6)


@st.composite
def binomial(draw):
    n = draw(st.integers(1, 5000))
    return draw(st.integers(0, n)), n


# --- Wilson


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    [
        (81, 263, (0.2553, 0.3662)),  # Newcombe 1998, Statistics in Medicine 17, table I
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_as_tabulated(successes, n, expected):
    assert wilson(successes, n) == pytest.approx(expected, abs=5e-5)


def test_wilson_without_data_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


@settings(deadline=None)
@given(binomial(), level)
def test_wilson_ends_solve_the_score_equation(outcome, level):
    successes, n = outcome
    z = NormalDist().inv_cdf((1 + level) / 2)
    for end in wilson(successes, n, level):
        assert (successes / n - end) ** 2 == pytest.approx(z * z * end * (1 - end) / n, rel=1e-6, abs=1e-12)


@settings(deadline=None)
@given(binomial(), level)
def test_wilson_contains_the_estimate_and_stays_inside(outcome, level):
    successes, n = outcome
    low, high = wilson(successes, n, level)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high
    mirrored = wilson(n - successes, n, level)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)


@settings(deadline=None)
@given(binomial(), st.integers(2, 20))
def test_wilson_narrows_with_n_and_widens_with_the_level(outcome, times):
    successes, n = outcome
    low, high = wilson(successes, n)
    more = wilson(successes * times, n * times)
    surer = wilson(successes, n, 0.99)
    assert more[1] - more[0] < high - low < surer[1] - surer[0]


@pytest.mark.parametrize(("n", "least"), [(20, 0.927), (64, 0.932), (256, 0.940), (512, 0.943)])
def test_wilson_covers_any_share_between_a_tenth_and_nine_tenths(n, least):
    intervals = [wilson(k, n) for k in range(n + 1)]
    coverages = []
    for share in np.linspace(0.1, 0.9, 161):
        outcomes = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
        coverages.append(sum(w for w, (low, high) in zip(outcomes, intervals, strict=True) if low <= share <= high))
    assert min(coverages) >= least
    assert np.mean(coverages) == pytest.approx(0.95, abs=0.005)


# --- means


@pytest.mark.parametrize(
    ("freedom", "expected"),  # any printed table of Student's t: two-sided 90, 95 and 99 %
    [
        (1, (6.3138, 12.7062, 63.6567)),
        (2, (2.9200, 4.3027, 9.9248)),
        (3, (2.3534, 3.1824, 5.8409)),
        (4, (2.1318, 2.7764, 4.6041)),
        (5, (2.0150, 2.5706, 4.0321)),
        (9, (1.8331, 2.2622, 3.2498)),
        (10, (1.8125, 2.2281, 3.1693)),
        (30, (1.6973, 2.0423, 2.7500)),
        (120, (1.6577, 1.9799, 2.6174)),
    ],
)
def test_t_quantiles_as_tabulated(freedom, expected):
    assert [t_quantile(freedom, level) for level in (0.90, 0.95, 0.99)] == pytest.approx(expected, abs=5.1e-5)


@settings(deadline=None)
@given(level)
def test_t_quantiles_in_closed_form(level):
    assert t_quantile(1, level) == pytest.approx(math.tan(math.pi * level / 2), rel=1e-9)
    assert t_quantile(2, level) == pytest.approx(level * math.sqrt(2 / (1 - level**2)), rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 6, 7, 25])
def test_t_quantile_holds_its_level_of_the_integrated_density(freedom):
    """Simpson's rule on the density itself, which the series never writes down."""
    t = t_quantile(freedom, 0.9)
    grid = np.linspace(-t, t, 20_001)
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    density = constant * (1 + grid**2 / freedom) ** (-(freedom + 1) / 2)
    weights = np.ones_like(grid)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    assert (density * weights).sum() * (grid[1] - grid[0]) / 3 == pytest.approx(0.9, abs=1e-9)


def test_t_quantile_tends_to_the_normal():
    assert t_quantile(100_000) == pytest.approx(1.959964, abs=3e-5)
    assert t_quantile(100_001) == pytest.approx(1.959964, abs=3e-5)


def test_mean_interval_by_hand():
    half = 4.3027 * 0.02 / math.sqrt(3)  # the sample's std is .02
    assert mean_interval([0.48, 0.50, 0.52]) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert mean_interval([0.9, 1.0, 1.0], bounds=(0, 1))[1] == 1
    assert mean_interval([1.0, 1.0, 1.0]) == (1, 1)


@settings(deadline=None)
@given(st.lists(numbers, min_size=2, max_size=30), st.floats(0.1, 10), numbers)
def test_mean_interval_moves_with_its_values(values, scale, shift):
    low, high = mean_interval(values)
    assert low <= np.mean(values) <= high
    moved = mean_interval([scale * value + shift for value in values])
    assert moved == pytest.approx((scale * low + shift, scale * high + shift), rel=1e-6, abs=1e-3)
    assert mean_interval(values, 0.99)[0] <= low


# --- pass@k


@settings(deadline=None)
@given(st.integers(1, 7), st.data())
def test_pass_at_k_by_all_subsets(samples, data):
    right = data.draw(st.lists(st.integers(0, samples), min_size=1, max_size=5))
    ks = range(1, samples + 1)
    found = pass_at_k(np.array(right), samples, ks)
    assert list(found) == list(ks)
    for k in ks:
        shares = []
        for count in right:
            outcomes = [i < count for i in range(samples)]
            shares.append(np.mean([any(subset) for subset in itertools.combinations(outcomes, k)]))
        assert found[k] == pytest.approx(np.mean(shares))


@pytest.mark.parametrize("accuracy", [0.05, 0.5, 0.9])
def test_pass_at_k_is_unbiased(accuracy):
    """Its expectation over all outcomes of n samples is 1 - (1 - accuracy)^k."""
    samples = 16
    for k in (1, 4, 16):
        expected = sum(
            math.comb(samples, c) * accuracy**c * (1 - accuracy) ** (samples - c) * pass_at_k([c], samples, [k])[k]
            for c in range(samples + 1)
        )
        assert expected == pytest.approx(1 - (1 - accuracy) ** k)


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_pass_at_k_bounds_and_growth(samples, data):
    right = data.draw(st.lists(st.integers(0, samples), min_size=1, max_size=10))
    found = pass_at_k(right, samples, range(1, samples + 1))
    curve = list(found.values())
    assert curve[0] == pytest.approx(np.mean(right) / samples)
    assert curve[-1] == pytest.approx(np.mean(np.array(right) > 0))
    assert all(0 <= a <= b + 1e-12 <= 1 + 2e-12 for a, b in itertools.pairwise(curve))


def test_pass_at_k_of_many_samples_keeps_its_precision():
    assert pass_at_k([1], 10_000, [5_000]) == {5_000: 0.5}
    assert pass_at_k([1], 1_000_000, [1])[1] == 1e-6
    assert pass_at_k([0, 10_000], 10_000, [9_999]) == {9_999: 0.5}


# --- bad input


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: wilson(3, 2), "successes"),
        (lambda: wilson(-1, 2), "successes"),
        (lambda: wilson(1, 2, level=1.0), "level"),
        (lambda: mean_interval([0.5]), "N >= 2"),
        (lambda: mean_interval([0.5, math.nan]), "finite"),
        (lambda: t_quantile(0), "freedom"),
        (lambda: pass_at_k([1], 4, [5]), "k is 5"),
        (lambda: pass_at_k([1], 4, [0]), "k is 0"),
        (lambda: pass_at_k([5], 4, [1]), "right"),
        (lambda: pass_at_k([0.5], 4, [1]), "right"),
        (lambda: pass_at_k([], 4, [1]), "N >= 1"),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()


def test_statistics_need_neither_torch_nor_scipy():
    code = "import sys, chainlift.measure.statistics; print(sorted({'torch', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
