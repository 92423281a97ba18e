"""The table of predictions: published numbers, limits, monotonicity, one form for scripts, and bad input."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlift.learning.presets import PRESETS
from chainlift.theory import closed_forms, forecast, groups, star
from chainlift.theory.expected_update import expected_update
from chainlift.theory.mean_field import policy_gradient_curve, star_curve
from chainlift.theory.mode_policy import ModePolicy, Setting
from tests.theory.blind_learner import (
    BlindLearner,
    kept_by_star,
    long_share,
    mixture,
)

share = st.floats(0, 1)
modulus = st.integers(2, 60)
temperature = st.floats(0.05, 20)


def test_parity_as_published():
    assert closed_forms.threshold(2) == pytest.approx(1 / 3)
    assert closed_forms.sampled_accuracy(0.25, 2) == pytest.approx(0.625)
    assert [star.star_rounds_to_flip(p, 2) for p in (0.25, 0.1, 0.05, 0.02, 0.01)] == [1, 3, 4, 5, 6]
    assert groups.pass_at_k(0.25, 3, 2) == pytest.approx(1 - 0.375**3)
    assert closed_forms.mixture_entropy(50, 2, 0.0).sequence == pytest.approx(math.log(2))
    assert closed_forms.sequence_mean_p_cot(50, 0.25) == pytest.approx(0.0129, abs=1e-4)


@settings(deadline=None)
@given(p=share, K=modulus, t=temperature)
def test_everything_is_a_probability_and_adds_up(p, K, t):
    shares = closed_forms.response_shares(p, K, temperature=t)
    assert min(shares.long, shares.agree, shares.differ) >= 0
    assert shares.long + shares.agree + (K - 1) * shares.differ == pytest.approx(1)
    assert groups.pass_at_k(p, 1, K, temperature=t) == pytest.approx(closed_forms.sampled_accuracy(p, K, t))
    assert groups.dead_group_probability(p, 1, K, temperature=t) == pytest.approx(1)
    assert 1 / K - 1e-12 <= closed_forms.sampled_accuracy(p, K, t) <= 1


@settings(deadline=None)
@given(p=share, other=share, K=modulus, t=temperature)
def test_more_long_demonstrations_never_hurt(p, other, K, t):
    low, high = sorted((p, other))
    tiny = 1e-12
    assert closed_forms.go_on_probability(low, K) <= closed_forms.go_on_probability(high, K) + tiny
    assert closed_forms.sampled_long_share(low, K, t) <= closed_forms.sampled_long_share(high, K, t) + tiny
    assert closed_forms.sampled_accuracy(low, K, t) <= closed_forms.sampled_accuracy(high, K, t) + tiny
    assert groups.pass_at_k(low, 4, K) <= groups.pass_at_k(high, 4, K) + tiny
    assert star.star_next_share(low, K) <= star.star_next_share(high, K) + tiny
    assert closed_forms.greedy_accuracy(low, K) <= closed_forms.greedy_accuracy(high, K)


@pytest.mark.parametrize("K", [2, 3, 1000])
@pytest.mark.parametrize("t", [1e-3, 1.0, 1e3])
def test_the_ends(K, t):
    none, all_long = forecast.predictions(50, K, 0.0, t), forecast.predictions(50, K, 1.0, t)
    assert (none["greedy"], none["sampled_long_share"], none["star_next_share"]) == ("short", 0, 0)
    assert none["star_rounds_to_flip"] is None
    assert set(none["rl"].values()) == {None}
    assert none["sampled_accuracy"] == pytest.approx(1 / K)
    assert (all_long["greedy"], all_long["sampled_long_share"], all_long["star_rounds_to_flip"]) == ("long", 1, 0)
    assert all_long["sampled_accuracy"] == all_long["star_next_share"] == 1
    assert star.star_share_after(1e-9, 10_000, K) == 1


def test_predictions_are_one_consistent_json_table():
    table = forecast.predictions(d=50, modulus=2, p_cot=0.25)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert table == {
        "threshold": pytest.approx(1 / 3),
        "greedy": "short",
        "greedy_accuracy": 0.5,
        "greedy_length_median": 1,
        "sampled_accuracy": pytest.approx(0.625),
        "sampled_long_share": pytest.approx(0.25),
        "go_on": pytest.approx(0.4),
        "star_next_share": pytest.approx(0.4),
        "star_rounds_to_flip": 1,
        "rl": {
            "greedy_accuracy": 1,
            "greedy_length_median": 50,
            "sampled_accuracy": 1,
            "sampled_long_share": 1,
        },
    }
    hot = forecast.predictions(50, 2, 0.25, temperature=1.5)
    assert hot["greedy"] == "short"
    assert hot["sampled_long_share"] == closed_forms.sampled_long_share(0.25, 2, 1.5)
    kept = kept_by_star(BlindLearner.fit(mixture(3, 2, 0.25)), 3, 2, 1.5)
    assert hot["star_next_share"] == pytest.approx(long_share(kept))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: closed_forms.threshold(1), "modulus"),
        (lambda: closed_forms.go_on_probability(1.2, 2), "p_cot"),
        (lambda: closed_forms.greedy(math.nan, 2), "p_cot"),
        (lambda: closed_forms.sampled_accuracy(0.2, 2, 0.0), "temperature"),
        (lambda: star.star_rounds_to_flip(0.2, 2, temperature=math.inf), "temperature"),
        (lambda: forecast.predictions(1, 2, 0.2), "d is 1"),
        (lambda: closed_forms.mixture_entropy(1, 2, 0.2), "d is 1"),
        (lambda: groups.pass_at_k(0.2, 0, 2), "k is 0"),
        (lambda: groups.dead_group_probability(0.2, 0, 2), "group_size"),
        (lambda: star.star_share_after(0.2, -1, 2), "rounds"),
        (lambda: star.star_next_share(0.2, 2, q=-1), "q is"),
        (lambda: star.star_next_share(0.2, 2, reward="process"), "reward"),  # pyright: ignore[reportArgumentType]
        (lambda: star.star_next_share(1.0, 2, q=0.0), "keeps nothing"),
        (lambda: star.star_rounds_to_share(0.2, 1.0, 2), "share is 1.0"),
        (lambda: star.star_rounds_to_flip(0.2, 2, fit_temperature=-1), "temperature"),
        (lambda: closed_forms.derailed_accuracy(3, 2, 1.5), "step_accuracy"),
        (lambda: groups.preflight_forecast(0.2, 2, 0), "group_size"),
    ],
)
def test_bad_input_is_named_in_one_line(call, named):
    with pytest.raises(ValueError, match=named) as error:
        call()
    assert "\n" not in str(error.value)


def test_theory_needs_no_torch():
    code = "import sys, chainlift.theory.forecast; print(sorted({'torch', 'scipy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_predictions_with_every_option():
    found = forecast.predictions(50, 3, 0.4, 1.5, marker=True, q=0.8, reward="chain")
    long = closed_forms.sampled_long_share(0.4, 3, 1.5, marker=True)
    assert found["threshold"] == 0.5
    assert (found["greedy"], found["greedy_length_median"]) == ("short", 2)
    assert found["sampled_accuracy"] == pytest.approx(long * (0.8 + 0.2 / 3) + (1 - long) / 3)
    assert found["star_next_share"] == star.star_next_share(long, 3, q=0.8, reward="chain")
    assert found["star_rounds_to_flip"] == 1
    assert found["go_on"] == 0.4
    right = pytest.approx(0.8 + 0.2 / 3)
    limit = {"sampled_accuracy": right, "greedy_accuracy": right}
    assert found["rl"] == {**limit, "greedy_length_median": 51, "sampled_long_share": 1.0}
    assert forecast.predictions(50, 3, 0.6, marker=True, q=0.8)["greedy_accuracy"] == right


def test_where_rl_cannot_lift_no_limit_is_told():
    assert set(forecast.predictions(50, 2, 0.25, q=0.5, reward="chain")["rl"].values()) == {None}
    assert forecast.predictions(50, 2, 1.0, q=0.0, reward="chain")["star_next_share"] is None


@pytest.mark.parametrize("name", ["dr_grpo", "grpo"])
def test_every_key_of_a_forecast_is_its_own_formula(name):
    """GRPO's direction depends on the group, Dr. GRPO's does not."""
    setting = Setting(modulus=3, d=7, marker=True, q=0.8, reward="chain", temperature=1.5)
    sampling = {"temperature": 1.5, "marker": True, "q": 0.8, "reward": "chain"}
    found = forecast.forecast(
        setting, 0.2, algorithm=PRESETS[name], name=name, group_size=4, prompts=16, updates=30, step=0.2
    )
    assert found["loss_per_token"] == closed_forms.mixture_entropy(7, 3, 0.2, marker=True).token
    assert found["pass_at_k"] == {k: groups.pass_at_k(0.2, k, 3, **sampling) for k in (1, 4, 16, 64)}
    assert found["preflight"] == groups.preflight_forecast(0.2, 3, 4, **sampling)
    start = ModePolicy.after_pretraining(0.2, setting)
    drift = expected_update(start, setting, PRESETS[name], group_size=4, prompts=16)
    assert found["reference"]["drift"] == drift.tolist()
    assert drift[0] != drift[1]
    curve = policy_gradient_curve(start, setting, PRESETS[name], [0.2] * 30, group_size=4, prompts=16)
    assert (found["reference"]["algorithm"], found["reference"]["step"]) == (name, 0.2)
    assert found["reference"]["updates_to_flip"] == curve.flip
    assert curve.flip is not None
    assert 0 < curve.flip < 30
    assert found["reference"]["long_share"] == curve.long_share
    assert found["reference"]["accuracy"] == curve.accuracy
    assert found["reference"]["greedy_accuracy"] == curve.greedy_accuracy
    assert found["star_long_shares"] == star_curve(start, setting, 10).long_share


@pytest.mark.parametrize(("p", "K"), [(0.25, 2), (0.01, 2), (0.05, 5)])
def test_the_rounds_to_99_percent_are_those_of_the_closed_walk(p, K):
    assert forecast.forecast(Setting(modulus=K), p)["star_rounds_to_99"] == star.star_rounds_to_share(p, 0.99, K)


def test_star_is_forecast_with_a_fit_at_the_temperature_of_sampling():
    """At t = .75 a fit at temperature 1 dies out from p = .05 (below 1/17), ours does not."""
    assert star.star_rounds_to_flip(0.05, 2, temperature=0.75, fit_temperature=1) is None
    own = star.star_rounds_to_flip(0.05, 2, temperature=0.75, fit_temperature=0.75)
    assert own is not None
    assert forecast.predictions(50, 2, 0.05, 0.75)["star_rounds_to_flip"] == own
