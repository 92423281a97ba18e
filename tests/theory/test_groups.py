"""Several samples of one prompt, against all outcomes of them."""

import itertools
import math

import pytest

from chainlift.theory import groups
from tests.theory.blind_learner import (
    TEMPERATURES,
    BlindLearner,
    is_long,
    mixture,
    prompts,
    right,
)


@pytest.mark.parametrize(("d", "K"), [(2, 2), (3, 2), (3, 3), (2, 5)])
@pytest.mark.parametrize("t", TEMPERATURES)
@pytest.mark.parametrize(
    ("marker", "q", "reward"),
    [(False, 1, "end_to_end"), (True, 1, "chain"), (False, 0.6, "chain"), (False, 0.6, "end_to_end")],
)
def test_pass_at_k_dead_groups_and_forecast_by_all_outcomes_of_k_samples(d, K, t, marker, q, reward):
    p = 0.27
    learner = BlindLearner.fit(mixture(d, K, p, marker))
    options = {"temperature": t, "marker": marker, "q": q, "reward": reward}
    guess = 1 / K if reward == "end_to_end" else 0.0  # what a derailed chain, made below from a gold one, earns
    mean_reward = 0.0
    for k in (1, 2, 5):
        solved = dead = 0.0
        for x in prompts(d, K):
            responses = learner.responses(x, t).items()
            accuracy = sum(w * (q + (1 - q) * guess if is_long(y) else 1) for y, w in responses if right(x, y, K))
            mean_reward += accuracy / K**d / 3
            for outcome in itertools.product((True, False), repeat=k):
                weight = math.prod(accuracy if hit else 1 - accuracy for hit in outcome) / K**d
                solved += weight * any(outcome)
                dead += weight * (len(set(outcome)) == 1)
        assert groups.pass_at_k(p, k, K, **options) == pytest.approx(solved)
        assert groups.dead_group_probability(p, k, K, **options) == pytest.approx(dead)
        forecast = groups.preflight_forecast(p, K, k, **options)
        assert forecast["groups_without_signal"] == pytest.approx(dead)
    assert forecast["reward_mean"] == pytest.approx(mean_reward)
    long = sum(w for x in prompts(d, K) for y, w in learner.responses(x, t).items() if is_long(y)) / K**d
    assert forecast["long_share"] == pytest.approx(long)
    assert forecast["accuracy"] == pytest.approx(long * (q + (1 - q) / K) + (1 - long) / K)


def test_the_headline_forecast():
    forecast = groups.preflight_forecast(0.25, 2, 8)
    assert forecast["accuracy"] == forecast["reward_mean"] == pytest.approx(0.625)
    assert forecast["groups_without_signal"] == pytest.approx(0.625**8 + 0.375**8)


def test_prompts_of_two_kinds_leave_more_groups_without_signal_than_their_mean_says():
    hot = groups.preflight_forecast(0.25, 2, 8, temperature=0.5)
    rate = hot["reward_mean"]
    assert hot["groups_without_signal"] > rate**8 + (1 - rate) ** 8 + 0.01
