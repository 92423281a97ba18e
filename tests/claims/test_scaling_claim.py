"""How many updates a chain of a given length needs, read from a ladder of runs."""

import itertools
import math

import pytest

from chainlift.claims.linear_scaling import ladder as scaling


@pytest.mark.parametrize(
    ("kept", "needed"),
    [
        ([False, False, True, True], math.sqrt(16 * 32)),
        ([True, False, True, True], math.sqrt(16 * 32)),  # a rung that keeps it by luck does not count
        ([True, True, True, True], 8),
        ([True, True, True, False], math.inf),
    ],
)
def test_the_ladder_is_read_from_its_top(kept: list[bool], needed: float) -> None:
    assert scaling.first_kept([8, 16, 32, 64], kept) == pytest.approx(needed)


def test_half_right_is_interpolated_where_slips_are_rare() -> None:
    """q = exp(-c / steps) is 1/2 at c / log 2, wherever the rungs are."""
    for c in (20.0, 37.0):
        steps = [8, 16, 32, 64, 128]
        assert scaling.half_right(steps, [math.exp(-c / n) for n in steps]) == pytest.approx(c / math.log(2))
    assert scaling.half_right([8, 16], [0.1, 0.4]) == math.inf
    assert scaling.half_right([8, 16], [0.6, 0.8]) == 8
    assert 8 < scaling.half_right([8, 16], [0.0, 1.0]) < 16


def test_ladders_double_and_reach_far_enough() -> None:
    for d, p in ((10, 0.1), (30, 0.02), (1000, 0.1)):
        steps = scaling.ladder(d, p)
        assert all(later == 2 * earlier for earlier, later in itertools.pairwise(steps))
        assert 0.8 * d / p <= steps[-1] < 1.6 * d / p
