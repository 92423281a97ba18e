"""Reference curves: where they start, what a round of STaR is, and how they move."""

import itertools
import math

import pytest
import torch

from chainlift.learning.presets import PRESETS
from chainlift.theory import closed_forms, star
from chainlift.theory.expected_update import expected_update
from chainlift.theory.mean_field import policy_gradient_curve, star_curve, star_round
from chainlift.theory.mode_policy import ModePolicy, Setting
from tests.theory.mode_toy import Toy, tensor

GRADIENTS = [name for name in PRESETS if name != "star"]


@pytest.mark.parametrize("marker", [False, True])
@pytest.mark.parametrize(("K", "p", "t"), [(2, 0.25, 1.0), (3, 0.07, 0.75), (5, 0.6, 1.5)])
def test_the_start_is_the_closed_forms(marker: bool, K: int, p: float, t: float) -> None:
    setting = Setting(modulus=K, marker=marker, temperature=t, q=0.8)
    policy = ModePolicy.after_pretraining(p, setting)
    shares = closed_forms.response_shares(p, K, temperature=t, marker=marker)
    assert policy.classes(setting)[2] == pytest.approx(shares.long)
    if not marker:
        assert policy.classes(setting) == pytest.approx([(K - 1) * shares.differ, shares.agree, shares.long])
    told = policy.measures(setting)
    assert told["long_share"] == pytest.approx(p)
    assert told["accuracy"] == pytest.approx(closed_forms.sampled_accuracy(p, K, marker=marker, q=0.8))
    assert told["greedy_long"] == (closed_forms.greedy(p, K, marker=marker) == "long")
    assert told["greedy_accuracy"] == pytest.approx(closed_forms.greedy_accuracy(p, K, marker=marker, q=0.8))


@pytest.mark.parametrize("marker", [False, True])
@pytest.mark.parametrize(("q", "reward"), [(1.0, "end_to_end"), (0.7, "chain"), (0.7, "end_to_end")])
@pytest.mark.parametrize(("K", "p"), [(2, 0.25), (2, 0.01), (3, 0.05), (7, 0.03)])
def test_star_follows_the_closed_recursion(K: int, p: float, q: float, reward, marker: bool) -> None:
    setting = Setting(modulus=K, q=q, reward=reward, marker=marker)
    curve = star_curve(ModePolicy.after_pretraining(p, setting), setting, 20)
    expected = [star.star_share_after(p, n, K, q=q, reward=reward) for n in range(21)]
    assert curve.long_share == pytest.approx(expected)
    assert curve.flip == star.star_rounds_to_flip(p, K, q=q, reward=reward, marker=marker)


@pytest.mark.parametrize("t", [0.75, 1.5, 3.0])
@pytest.mark.parametrize("marker", [False, True])
@pytest.mark.parametrize("K", [2, 3])
def test_star_that_fits_at_its_temperature(K: int, t: float, marker: bool) -> None:
    setting = Setting(modulus=K, temperature=t, marker=marker)
    start = ModePolicy.after_pretraining(0.02, setting)
    curve = star_curve(start, setting, 12)
    assert curve.flip == star.star_rounds_to_flip(0.02, K, temperature=t, fit_temperature=t, marker=marker)
    sampled = float(start.classes(setting)[2])
    assert star_round(start, setting).classes(setting)[2] == pytest.approx(star.star_next_share(sampled, K))


def test_all_or_nothing_shares_stay_where_they_are() -> None:
    for p in (0.0, 1.0):
        curve = star_curve(ModePolicy.after_pretraining(p, Setting()), Setting(), 3)
        assert curve.long_share == [p] * 4
    hopeless = Setting(q=0.0, reward="chain")
    with pytest.raises(ValueError, match="keeps nothing"):
        star_round(ModePolicy.after_pretraining(1.0, hopeless), hopeless)


@pytest.mark.parametrize(
    "setting",
    [
        Setting(modulus=2, d=3),
        Setting(modulus=3, d=4, temperature=1.5),
        Setting(modulus=5, d=3, temperature=0.6, q=0.7, reward="chain"),
        Setting(modulus=2, d=5, temperature=2.0, q=0.4),
        Setting(modulus=3, d=4, marker=True, temperature=1.5, q=0.9),
    ],
    ids=str,
)
def test_a_round_of_star_is_the_best_fit_to_what_was_kept(setting: Setting) -> None:
    """The tempered likelihood of the kept samples, over all prompts and responses, has no slope there but had one."""
    torch.set_default_dtype(torch.float64)
    try:
        toy, before = Toy(setting), ModePolicy.after_pretraining(0.2, setting)
        rewards = torch.stack([toy.rewards(total) for total in range(setting.modulus)]).mean(dim=0)
        kept = toy.chances(tensor(before)).detach() * rewards

        def slope(policy: ModePolicy) -> float:
            logits = tensor(policy)
            (gradient,) = torch.autograd.grad((kept * toy.logp(logits).sum(dim=1)).sum(), logits)
            return float(gradient.abs().max())

        assert slope(star_round(before, setting)) == pytest.approx(0, abs=1e-12)
        assert slope(before) > 1e-3
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("p", "temperature"), [(0.05, 0.05), (0.01, 0.1), (0.1, 0.1), (1e-17, 1.0)])
def test_star_moves_on_where_probabilities_are_next_to_0_or_1(p: float, temperature: float) -> None:
    """Computed from probabilities, the curve died out or stood still; its flip is that of the closed walk."""
    setting = Setting(modulus=2, d=10, temperature=temperature)
    curve = star_curve(ModePolicy.after_pretraining(p, setting), setting, 400)
    assert curve.flip == star.star_rounds_to_flip(p, 2, temperature=temperature, fit_temperature=temperature)
    assert curve.long_share[1] > curve.long_share[0]
    assert curve.long_share[-1] > 0.99


@pytest.mark.parametrize("name", GRADIENTS)
def test_every_algorithm_lifts_along_its_curve(name: str) -> None:
    setting = Setting(d=50)
    start = ModePolicy.after_pretraining(0.25, setting)
    curve = policy_gradient_curve(start, setting, PRESETS[name], [0.1] * 120)
    assert len(curve.long_share) == 121
    assert curve.long_share[0] == pytest.approx(0.25)
    assert curve.long_share == sorted(curve.long_share)
    assert curve.flip is not None
    assert curve.greedy_accuracy[curve.flip - 1 : curve.flip + 1] == [0.5, 1.0]
    moved = [math.hypot(b.first - a.first, b.go_on - a.go_on) for a, b in itertools.pairwise(curve.policies)]
    assert moved == pytest.approx([0.1] * 120)


def test_wrong_chains_shorten_under_the_chain_reward() -> None:
    setting = Setting(q=0.3, reward="chain")
    curve = policy_gradient_curve(ModePolicy.after_pretraining(0.25, setting), setting, PRESETS["grpo"], [0.1] * 50)
    assert curve.long_share == sorted(curve.long_share, reverse=True)
    assert curve.flip is None


def test_the_gradient_rule_is_the_mean_update_added_up() -> None:
    setting = Setting()
    start = ModePolicy.after_pretraining(0.25, setting)
    curve = policy_gradient_curve(start, setting, PRESETS["reinforce"], [2.0, 0.0], rule="gradient")
    move = expected_update(start, setting, PRESETS["reinforce"])
    assert curve.policies[1].go_on == pytest.approx(start.go_on + 2 * move[1])
    assert curve.policies[2] == curve.policies[1]


def test_later_updates_of_a_round_are_held_back_by_the_clip() -> None:
    setting = Setting()
    start = ModePolicy.after_pretraining(0.25, setting)
    rounds_of_one = policy_gradient_curve(start, setting, PRESETS["dr_grpo"], [20.0] * 8, rule="gradient")
    rounds_of_eight = policy_gradient_curve(
        start, setting, PRESETS["dr_grpo"], [20.0] * 8, rule="gradient", steps_per_round=8
    )
    assert rounds_of_eight.long_share[1] == rounds_of_one.long_share[1]
    assert rounds_of_eight.long_share[-1] < rounds_of_one.long_share[-1]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: Setting(modulus=1), "modulus"),
        (lambda: Setting(q=2.0), "q is"),
        (lambda: Setting(temperature=0.0), "temperature"),
        (lambda: ModePolicy.after_pretraining(1.5, Setting()), "p_cot"),
        (lambda: ModePolicy.after_pretraining(1.5, Setting(marker=True)), "p_cot"),
        (lambda: policy_gradient_curve(ModePolicy(0, 0), Setting(), PRESETS["grpo"], [1], rule="adam"), "rule"),  # pyright: ignore[reportArgumentType]
        (lambda: star_curve(ModePolicy(0, 0), Setting(), -1), "rounds"),
    ],
)
def test_bad_input_is_named_in_one_line(call, named) -> None:
    with pytest.raises(ValueError, match=named) as error:
        call()
    assert "\n" not in str(error.value)
