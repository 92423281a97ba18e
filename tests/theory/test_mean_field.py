"""Mean updates against every outcome of a group of samples, scored by the real advantages and the real objective."""

import itertools
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor

from chainlift.learning import advantage, objective
from chainlift.learning.objective import PRESETS
from chainlift.theory import closed_forms, star
from chainlift.theory.expected_update import ALGORITHMS, Algorithm, algorithm_named, expected_update
from chainlift.theory.mean_field import policy_gradient_curve, star_curve, star_round
from chainlift.theory.mode_policy import ModePolicy, Setting

GRADIENTS = [name for name in ALGORITHMS if name != "star"]
SETTINGS = [
    Setting(modulus=2, d=3),
    Setting(modulus=3, d=4, temperature=1.5),
    Setting(modulus=2, d=5, q=0.7, reward="chain"),
    Setting(modulus=3, d=3, q=0.6, temperature=0.75),
    Setting(modulus=2, d=3, marker=True),
    Setting(modulus=3, d=4, marker=True, q=0.9, reward="chain"),
]


class Toy:
    """The task with x_1 = 0 and two logits, response by response: the K short answers, the long one right or wrong."""

    def __init__(self, setting: Setting) -> None:
        self.setting, K = setting, setting.modulus
        self.answers = [*range(K), "right", "wrong"]
        short, long = 2 + setting.marker, setting.d + 1 + setting.marker
        self.num_actions = torch.tensor([short] * K + [long] * 2)
        self.mask = torch.arange(long) < self.num_actions[:, None]
        self.earns = closed_forms.long_reward(K, q=setting.q, reward=setting.reward)

    def logp(self, logits: Tensor) -> Tensor:
        """(K + 2, longest) log-probabilities of each response's tokens."""
        K, t = self.setting.modulus, self.setting.temperature
        on, stop = torch.log_softmax(torch.stack([logits[1], torch.zeros(())]) / t, 0)
        rows = []
        if self.setting.marker:
            rows = [[stop, torch.tensor(-math.log(K))]] * K + [[on]] * 2
        else:
            others = [torch.zeros(())] * (K - 1)
            first = torch.log_softmax(torch.stack([logits[0] + math.log(K - 1), *others]) / t, 0)
            rows = [[first[0], stop], *[[first[v]] for v in range(1, K)], *[[first[0], on]] * 2]
        width = self.mask.shape[1]
        return torch.stack([torch.stack([*row, *[torch.zeros(())] * (width - len(row))]) for row in rows])

    def chances(self, logits: Tensor) -> Tensor:
        """(K + 2,) probabilities; the long response earns its reward with `earns`."""
        likely = self.logp(logits).sum(1).exp()
        return likely * torch.tensor([1.0] * self.setting.modulus + [self.earns, 1 - self.earns])

    def rewards(self, total: int) -> Tensor:
        """(K + 2,) rewards on a prompt with that sum."""
        return torch.tensor([float(answer == total or answer == "right") for answer in self.answers])


def tensor(policy: ModePolicy) -> Tensor:
    return torch.tensor([policy.first if math.isfinite(policy.first) else 0.0, policy.go_on], requires_grad=True)


def by_enumeration(setting, row, policy, old, group_size: int, prompts: int = 1) -> Tensor:
    """The mean of minus the gradient of the real loss over all outcomes of all groups of a batch."""
    toy, logits = Toy(setting), tensor(policy)
    K = setting.modulus
    logp, old_logp, chances = toy.logp(logits), toy.logp(tensor(old)).detach(), toy.chances(tensor(old)).detach()
    groups = torch.tensor(list(itertools.product(range(K + 2), repeat=group_size)))
    sums = range(K)
    batches = list(itertools.product(itertools.product(sums, range(len(groups))), repeat=prompts))
    rows = torch.stack([torch.cat([groups[g] for _, g in batch]) for batch in batches])  # (M, P G)
    rewards = torch.stack([torch.cat([toy.rewards(s)[groups[g]] for s, g in batch]) for batch in batches])
    likely = chances[rows].prod(dim=1) / K**prompts
    assert float(likely.sum()) == pytest.approx(1)
    if row.advantage == "batch_mean":
        gains = torch.stack([advantage.estimate(one[None], "batch_mean")[0] for one in rewards])
    else:
        gains = advantage.estimate(rewards.view(-1, group_size), row.advantage).view(rewards.shape)
    lengths = toy.num_actions[rows]
    if row.aggregate == "token_mean":  # of many prompts: the number of tokens is its expectation
        weights = torch.ones(lengths.shape) / lengths.shape[1] / (chances * toy.num_actions).sum()
    else:
        longest = int(toy.num_actions.max())
        weights = torch.stack([objective.sequence_weights(n, row.aggregate, max_length=longest) for n in lengths])
    flat = rows.flatten()
    weights = (weights * likely[:, None]).flatten()
    loss, _ = objective.loss(logp[flat], old_logp[flat], gains.flatten(), toy.mask[flat], weights, as_objective(row))
    loss.backward()
    assert logits.grad is not None
    return -logits.grad


def as_objective(row: Algorithm) -> objective.Objective:
    return objective.Objective(**asdict(row))


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_the_two_tables_of_algorithms_are_one() -> None:
    assert {name: as_objective(row).model_dump() for name, row in ALGORITHMS.items()} == {
        name: preset.model_dump() for name, preset in PRESETS.items()
    }
    assert pytest.approx(advantage.STD_GUARD) == 1e-4


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_first_update_of_a_round_by_all_outcomes(name: str, setting: Setting) -> None:
    policy = ModePolicy.after_pretraining(0.3, setting)
    for group_size in (2, 3):
        found = expected_update(policy, setting, ALGORITHMS[name], group_size=group_size, prompts=1)
        expected = by_enumeration(setting, ALGORITHMS[name], policy, policy, group_size)
        assert found == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-12)  # rewards' statistics are float32


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("moved", [(0.05, 0.1), (0.6, -0.9), (-0.3, 0.8), (2.5, 2.5)])
def test_a_later_update_of_a_round_clips_as_the_objective_does(name: str, moved: tuple[float, float]) -> None:
    for setting in (SETTINGS[1], SETTINGS[2], SETTINGS[4]):
        old = ModePolicy.after_pretraining(0.3, setting)
        policy = ModePolicy(old.first + moved[0], old.go_on + moved[1])
        found = expected_update(policy, setting, ALGORITHMS[name], group_size=2, prompts=1, sampled_by=old)
        expected = by_enumeration(setting, ALGORITHMS[name], policy, old, 2)
        assert found == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-12)


def test_the_clipping_is_no_accident_of_ratios_near_one() -> None:
    setting, row = SETTINGS[0], ALGORITHMS["grpo"]
    old = ModePolicy.after_pretraining(0.3, setting)
    policy = ModePolicy(old.first + 1.0, old.go_on + 1.0)
    free = Algorithm(row.advantage, clip="none", aggregate=row.aggregate)
    assert expected_update(policy, setting, free, sampled_by=old)[1] > 0
    assert expected_update(policy, setting, row, sampled_by=old)[1] < 0, "what was pushed up too far is let go of"


@pytest.mark.parametrize("kind", ["batch_mean", "none"])
def test_reinforce_over_batches_of_two_prompts(kind) -> None:
    setting = SETTINGS[0]
    policy = ModePolicy.after_pretraining(0.2, setting)
    row = Algorithm(kind, ratio="none", clip="none", aggregate="sequence_sum")
    found = expected_update(policy, setting, row, group_size=2, prompts=2)
    assert found == pytest.approx(by_enumeration(setting, row, policy, policy, 2, prompts=2).tolist(), rel=1e-6)


@pytest.mark.parametrize("name", GRADIENTS)
def test_large_batches_through_the_real_estimators(name: str) -> None:
    """64 batches of 1000 prompts; a bound of 5 standard errors is passed by chance with 1e-6 a component."""
    setting, row, group_size, num_prompts = Setting(modulus=3, d=10), ALGORITHMS[name], 8, 1000
    toy, policy = Toy(setting), ModePolicy.after_pretraining(0.2, setting)
    draw = torch.Generator().manual_seed(3)
    found = []
    for _ in range(64):
        logits = tensor(policy)
        logp = toy.logp(logits)
        rows = torch.multinomial(toy.chances(logits).detach(), num_prompts * group_size, True, generator=draw)
        sums = torch.randint(3, (num_prompts,), generator=draw).repeat_interleave(group_size)
        table = torch.stack([toy.rewards(s) for s in range(3)])
        gains = advantage.estimate(table[sums, rows].view(num_prompts, group_size), row.advantage).flatten()
        weights = objective.sequence_weights(toy.num_actions[rows], row.aggregate, max_length=11)
        loss, _ = objective.loss(logp[rows], logp[rows].detach(), gains, toy.mask[rows], weights, as_objective(row))
        (gradient,) = torch.autograd.grad(loss, logits)
        found.append(-gradient)
    stacked = torch.stack(found)
    error = stacked.std(dim=0) / math.sqrt(len(found))
    expected = expected_update(policy, setting, row, group_size=group_size, prompts=num_prompts)
    assert (np.abs(stacked.mean(dim=0).numpy() - expected) < 5 * error.numpy()).all()
    assert (np.abs(expected) > 10 * error.numpy()).all(), "the test can tell the update from none"


# --- known values


@pytest.mark.parametrize("p", [0.01, 0.25, 0.6])
def test_the_drift_of_reinforce(p: float) -> None:
    """With one mode logit, the marker's, it is p (1 - p) / 2, slow like p; the baseline's 1 - 1/N aside."""
    setting = Setting(marker=True)
    policy = ModePolicy.after_pretraining(p, setting)
    plain = Algorithm("none", ratio="none", clip="none", aggregate="sequence_sum")
    assert expected_update(policy, setting, plain) == pytest.approx([0, p * (1 - p) / 2])
    with_baseline = expected_update(policy, setting, ALGORITHMS["reinforce"], group_size=8, prompts=32)
    assert with_baseline == pytest.approx([0, p * (1 - p) / 2 * (1 - 1 / 256)])


def test_baselines_change_the_noise_and_not_the_mean() -> None:
    setting = Setting(modulus=5, d=7)
    policy = ModePolicy.after_pretraining(0.1, setting)
    plain = Algorithm("none", ratio="none", clip="none", aggregate="sequence_sum")
    expected = expected_update(policy, setting, plain)
    loo = Algorithm("leave_one_out", ratio="none", clip="none", aggregate="sequence_sum")
    assert expected_update(policy, setting, loo) == pytest.approx(expected)
    assert expected_update(policy, setting, ALGORITHMS["rloo"]) == pytest.approx(expected)


def test_nothing_moves_where_nothing_can_be_learned() -> None:
    setting = Setting()
    for p in (0.0, 1.0):
        policy = ModePolicy.after_pretraining(p, setting)
        for name in GRADIENTS:
            assert expected_update(policy, setting, ALGORITHMS[name])[1] == pytest.approx(0, abs=1e-15)


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


@pytest.mark.parametrize("name", GRADIENTS)
def test_every_algorithm_lifts_along_its_curve(name: str) -> None:
    setting = Setting(d=50)
    start = ModePolicy.after_pretraining(0.25, setting)
    curve = policy_gradient_curve(start, setting, name, [0.1] * 120)
    assert len(curve.long_share) == 121
    assert curve.long_share[0] == pytest.approx(0.25)
    assert curve.long_share == sorted(curve.long_share)
    assert curve.flip is not None
    assert curve.greedy_accuracy[curve.flip - 1 : curve.flip + 1] == [0.5, 1.0]
    moved = [math.hypot(b.first - a.first, b.go_on - a.go_on) for a, b in itertools.pairwise(curve.policies)]
    assert moved == pytest.approx([0.1] * 120)


def test_wrong_chains_shorten_under_the_chain_reward() -> None:
    setting = Setting(q=0.3, reward="chain")
    curve = policy_gradient_curve(ModePolicy.after_pretraining(0.25, setting), setting, "grpo", [0.1] * 50)
    assert curve.long_share == sorted(curve.long_share, reverse=True)
    assert curve.flip is None


def test_the_gradient_rule_is_the_mean_update_added_up() -> None:
    setting = Setting()
    start = ModePolicy.after_pretraining(0.25, setting)
    curve = policy_gradient_curve(start, setting, "reinforce", [2.0, 0.0], rule="gradient")
    move = expected_update(start, setting, ALGORITHMS["reinforce"])
    assert curve.policies[1].go_on == pytest.approx(start.go_on + 2 * move[1])
    assert curve.policies[2] == curve.policies[1]


def test_later_updates_of_a_round_are_held_back_by_the_clip() -> None:
    setting = Setting()
    start = ModePolicy.after_pretraining(0.25, setting)
    rounds_of_one = policy_gradient_curve(start, setting, "dr_grpo", [20.0] * 8, rule="gradient")
    rounds_of_eight = policy_gradient_curve(start, setting, "dr_grpo", [20.0] * 8, rule="gradient", updates_per_round=8)
    assert rounds_of_eight.long_share[1] == rounds_of_one.long_share[1]
    assert rounds_of_eight.long_share[-1] < rounds_of_one.long_share[-1]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: algorithm_named("ppo"), "known: star"),
        (lambda: Setting(modulus=1), "modulus"),
        (lambda: Setting(q=2.0), "q is"),
        (lambda: Setting(temperature=0.0), "temperature"),
        (lambda: ModePolicy.after_pretraining(1.5, Setting()), "p_cot"),
        (lambda: ModePolicy.after_pretraining(1.5, Setting(marker=True)), "p_cot"),
        (lambda: expected_update(ModePolicy(0, 0), Setting(), ALGORITHMS["star"]), "star"),
        (lambda: expected_update(ModePolicy(0, 0), Setting(), ALGORITHMS["grpo"], group_size=1), "group_size"),
        (lambda: expected_update(ModePolicy(0, 0), Setting(), ALGORITHMS["reinforce"], prompts=0), "prompts"),
        (lambda: expected_update(ModePolicy(0, 0), Setting(), Algorithm("batch_mean")), "batch_mean"),
        (lambda: policy_gradient_curve(ModePolicy(0, 0), Setting(), "grpo", [1], rule="adam"), "rule"),  # pyright: ignore[reportArgumentType]
        (lambda: star_curve(ModePolicy(0, 0), Setting(), -1), "rounds"),
    ],
)
def test_bad_input_is_named_in_one_line(call, named) -> None:
    with pytest.raises(ValueError, match=named) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("p", "temperature"), [(0.05, 0.05), (0.01, 0.1), (0.1, 0.1), (1e-17, 1.0)])
def test_star_moves_on_where_probabilities_are_next_to_0_or_1(p: float, temperature: float) -> None:
    """Computed from probabilities, the curve died out or stood still; its flip is that of the closed walk."""
    setting = Setting(modulus=2, d=10, temperature=temperature)
    curve = star_curve(ModePolicy.after_pretraining(p, setting), setting, 400)
    assert curve.flip == star.star_rounds_to_flip(p, 2, temperature=temperature, fit_temperature=temperature)
    assert curve.long_share[1] > curve.long_share[0]
    assert curve.long_share[-1] > 0.99
