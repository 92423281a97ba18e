"""Means over seeds: by hand, and only of the stages that every seed has."""

import math
from typing import Any

import pytest

from chainlift.report.over_seeds import over_seeds, seeds_table

KEYS = ("greedy_accuracy", "sampled_accuracy", "sampled_long_share")


def measured(value: float, length: float = 1.0) -> dict[str, float]:
    return {**dict.fromkeys(KEYS, value), "greedy_length_median": length}


def summary(seed: int, **stages: dict[str, float]) -> dict[str, Any]:
    about = {name: {"title": name, "unit": "sequences", "start": None, "baseline_of": None} for name in stages}
    return {"recipe": "small", "seed": seed, "stages": about, **stages}


def test_the_means_and_intervals_by_hand() -> None:
    """t(2 degrees of freedom) = 4.303; the values .5, .6, .7 have the standard deviation .1."""
    summaries = [
        summary(seed, pretrain=measured(accuracy), posttrain=measured(1.0, 50))
        for seed, accuracy in ((3, 0.5), (4, 0.6), (5, 0.7))
    ]
    found = over_seeds(summaries)
    assert found["seeds"] == [3, 4, 5]
    greedy, half = found["pretrain"]["greedy_accuracy"], 4.302653 * 0.1 / math.sqrt(3)
    assert greedy["mean"] == pytest.approx(0.6)
    assert greedy["ci95"] == pytest.approx((0.6 - half, 0.6 + half), abs=1e-6)
    assert greedy["values"] == [0.5, 0.6, 0.7]
    assert found["posttrain"]["greedy_length_median"]["ci95"] == (50, 50)
    assert "continued_pretrain" not in found
    assert seeds_table(found).row_count == 4


def test_a_stage_that_one_seed_lacks_is_left_out() -> None:
    both = summary(0, pretrain=measured(0.5), posttrain=measured(1.0))
    first = summary(1, pretrain=measured(0.6))
    for summaries in ([both, first], [first, both]):
        found = over_seeds(summaries)
        assert set(found) == {"recipe", "seeds", "stages", "pretrain"}
        assert set(found["stages"]) == {"pretrain"}
