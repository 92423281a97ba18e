"""Mean updates against every outcome of a group of samples, scored by the real advantages and the real objective."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from chainlift.learning import advantage, objective
from chainlift.learning.presets import PRESETS, Aggregate, Objective
from chainlift.theory.expected_update import STD_GUARD, expected_update, has_expected_update
from chainlift.theory.mode_policy import ModePolicy, Setting
from tests.theory.mode_toy import Toy, tensor

GRADIENTS = [name for name in PRESETS if name != "star"]
SETTINGS = [
    Setting(modulus=2, d=3),
    Setting(modulus=3, d=4, temperature=1.5),
    Setting(modulus=2, d=5, q=0.7, reward="chain"),
    Setting(modulus=3, d=3, q=0.6, temperature=0.75),
    Setting(modulus=2, d=3, marker=True),
    Setting(modulus=3, d=4, marker=True, q=0.9, reward="chain"),
]


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
        advantages = torch.stack([advantage.estimate(one[None], "batch_mean")[0] for one in rewards])
    else:
        advantages = advantage.estimate(rewards.view(-1, group_size), row.advantage).view(rewards.shape)
    lengths = toy.num_actions[rows]
    if row.aggregate == "token_mean":  # of many prompts: the number of tokens is its expectation
        weights = torch.ones(lengths.shape) / lengths.shape[1] / (chances * toy.num_actions).sum()
    else:
        longest = int(toy.num_actions.max())
        weights = torch.stack([objective.sequence_weights(n, row.aggregate, max_length=longest) for n in lengths])
    flat = rows.flatten()
    decisions = None if row.decision_weight is None else row.decision_weight / lengths.shape[1] * likely[:, None]
    weights = objective.token_weights(
        (weights * likely[:, None]).flatten(),
        None if decisions is None else decisions.expand_as(lengths).flatten(),
        toy.mask.shape[1],
    )
    loss, _ = objective.loss(logp[flat], old_logp[flat], advantages.flatten(), toy.mask[flat], weights, row)
    loss.backward()
    assert logits.grad is not None
    return -logits.grad


MEAN_AND_RATIO = PRESETS["grpo"].model_copy(update={"advantage": "batch_mean"})


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_theory_guards_standard_deviations_as_the_engine_does() -> None:
    assert pytest.approx(advantage.STD_GUARD) == STD_GUARD


def test_what_is_not_derived_has_no_expected_update() -> None:
    for change in (
        {"advantage": "accept"},
        {"advantage": "mine"},
        {"ratio": "mine"},
        {"clip": "mine"},
        {"aggregate": "x"},
    ):
        assert not has_expected_update(PRESETS["grpo"].model_copy(update=change))
    assert [name for name, row in PRESETS.items() if not has_expected_update(row)] == ["star"]


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_first_update_of_a_round_by_all_outcomes(name: str, setting: Setting) -> None:
    policy = ModePolicy.after_pretraining(0.3, setting)
    for group_size in (2, 3):
        found = expected_update(policy, setting, PRESETS[name], group_size=group_size, prompts=1)
        expected = by_enumeration(setting, PRESETS[name], policy, policy, group_size)
        assert found == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-12)  # rewards' statistics are float32


@pytest.mark.parametrize("aggregate", ["sequence_mean", "token_mean", "max_length"])
def test_decisions_that_weigh_apart_by_all_outcomes(aggregate: Aggregate) -> None:
    """Then all aggregates have the same mean update of the decisions."""
    setting = SETTINGS[1]
    policy = ModePolicy.after_pretraining(0.3, setting)
    row = PRESETS["grpo"].model_copy(update={"decision_weight": 0.5, "aggregate": aggregate})
    found = expected_update(policy, setting, row, group_size=2, prompts=1)
    assert found == pytest.approx(by_enumeration(setting, row, policy, policy, 2).tolist(), rel=1e-5, abs=1e-12)
    same = row.model_copy(update={"aggregate": "sequence_sum"})
    assert found == pytest.approx(expected_update(policy, setting, same, group_size=2, prompts=1))


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("moved", [(0.05, 0.1), (0.6, -0.9), (-0.3, 0.8), (2.5, 2.5)])
def test_a_later_update_of_a_round_clips_as_the_objective_does(name: str, moved: tuple[float, float]) -> None:
    for setting in (SETTINGS[1], SETTINGS[2], SETTINGS[4]):
        old = ModePolicy.after_pretraining(0.3, setting)
        policy = ModePolicy(old.first + moved[0], old.go_on + moved[1])
        found = expected_update(policy, setting, PRESETS[name], group_size=2, prompts=1, sampled_by=old)
        expected = by_enumeration(setting, PRESETS[name], policy, old, 2)
        assert found == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-12)


def test_the_clipping_is_no_accident_of_ratios_near_one() -> None:
    setting, row = SETTINGS[0], PRESETS["grpo"]
    old = ModePolicy.after_pretraining(0.3, setting)
    policy = ModePolicy(old.first + 1.0, old.go_on + 1.0)
    free = Objective(advantage=row.advantage, clip="none", aggregate=row.aggregate)
    assert expected_update(policy, setting, free, sampled_by=old)[1] > 0
    assert expected_update(policy, setting, row, sampled_by=old)[1] < 0, "what was pushed up too far is let go of"


@pytest.mark.parametrize("kind", ["batch_mean", "none"])
def test_reinforce_over_batches_of_two_prompts(kind) -> None:
    setting = SETTINGS[0]
    policy = ModePolicy.after_pretraining(0.2, setting)
    row = Objective(advantage=kind, ratio="none", clip="none", aggregate="sequence_sum")
    found = expected_update(policy, setting, row, group_size=2, prompts=2)
    assert found == pytest.approx(by_enumeration(setting, row, policy, policy, 2, prompts=2).tolist(), rel=1e-6)


@pytest.mark.parametrize("name", GRADIENTS)
def test_large_batches_through_the_real_estimators(name: str) -> None:
    """64 batches of 1000 prompts; a bound of 5 standard errors is passed by chance with 1e-6 a component."""
    setting, row, group_size, num_prompts = Setting(modulus=3, d=10), PRESETS[name], 8, 1000
    toy, policy = Toy(setting), ModePolicy.after_pretraining(0.2, setting)
    draw = torch.Generator().manual_seed(3)
    found = []
    for _ in range(64):
        logits = tensor(policy)
        logp = toy.logp(logits)
        rows = torch.multinomial(toy.chances(logits).detach(), num_prompts * group_size, True, generator=draw)
        sums = torch.randint(3, (num_prompts,), generator=draw).repeat_interleave(group_size)
        table = torch.stack([toy.rewards(s) for s in range(3)])
        advantages = advantage.estimate(table[sums, rows].view(num_prompts, group_size), row.advantage).flatten()
        weights = objective.sequence_weights(toy.num_actions[rows], row.aggregate, max_length=11)
        loss, _ = objective.loss(logp[rows], logp[rows].detach(), advantages, toy.mask[rows], weights, row)
        (gradient,) = torch.autograd.grad(loss, logits)
        found.append(-gradient)
    stacked = torch.stack(found)
    error = stacked.std(dim=0) / math.sqrt(len(found))
    expected = expected_update(policy, setting, row, group_size=group_size, prompts=num_prompts)
    assert (np.abs(stacked.mean(dim=0).numpy() - expected) < 5 * error.numpy()).all()
    assert (np.abs(expected) > 10 * error.numpy()).all(), "the test can tell the update from none"


@pytest.mark.parametrize("p", [0.01, 0.25, 0.6])
def test_the_drift_of_reinforce(p: float) -> None:
    """With one mode logit, the marker's, it is p (1 - p) / 2, slow like p; the baseline's 1 - 1/N aside."""
    setting = Setting(marker=True)
    policy = ModePolicy.after_pretraining(p, setting)
    plain = Objective(advantage="none", ratio="none", clip="none", aggregate="sequence_sum")
    assert expected_update(policy, setting, plain) == pytest.approx([0, p * (1 - p) / 2])
    with_baseline = expected_update(policy, setting, PRESETS["reinforce"], group_size=8, prompts=32)
    assert with_baseline == pytest.approx([0, p * (1 - p) / 2 * (1 - 1 / 256)])


def test_baselines_change_the_noise_and_not_the_mean() -> None:
    setting = Setting(modulus=5, d=7)
    policy = ModePolicy.after_pretraining(0.1, setting)
    plain = Objective(advantage="none", ratio="none", clip="none", aggregate="sequence_sum")
    expected = expected_update(policy, setting, plain)
    loo = Objective(advantage="leave_one_out", ratio="none", clip="none", aggregate="sequence_sum")
    assert expected_update(policy, setting, loo) == pytest.approx(expected)
    assert expected_update(policy, setting, PRESETS["rloo"]) == pytest.approx(expected)


def test_nothing_moves_where_nothing_can_be_learned() -> None:
    setting = Setting()
    for p in (0.0, 1.0):
        policy = ModePolicy.after_pretraining(p, setting)
        for name in GRADIENTS:
            assert expected_update(policy, setting, PRESETS[name])[1] == pytest.approx(0, abs=1e-15)


def test_the_numbers_told_in_the_docs() -> None:
    """docs/theory.md: from p = .25 to .01 at d = 50, G = 8, GRPO's push on the stop decision falls 90-fold, and
    REINFORCE's 15-fold.
    """
    setting = Setting(d=50)
    fall = {
        name: expected_update(ModePolicy.after_pretraining(0.25, setting), setting, PRESETS[name], group_size=8)[1]
        / expected_update(ModePolicy.after_pretraining(0.01, setting), setting, PRESETS[name], group_size=8)[1]
        for name in ("grpo", "reinforce")
    }
    assert fall["grpo"] == pytest.approx(89.5, abs=0.5)
    assert fall["reinforce"] == pytest.approx(15.3, abs=0.5)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: expected_update(ModePolicy(0, 0), Setting(), PRESETS["star"]), "no prediction"),
        (lambda: expected_update(ModePolicy(0, 0), Setting(), PRESETS["grpo"], group_size=1), "group_size"),
        (lambda: expected_update(ModePolicy(0, 0), Setting(), PRESETS["reinforce"], prompts=0), "prompts"),
        (lambda: expected_update(ModePolicy(0, 0), Setting(), MEAN_AND_RATIO), "batch_mean"),
    ],
)
def test_bad_input_is_named_in_one_line(call, named) -> None:
    with pytest.raises(ValueError, match=named) as error:
        call()
    assert "\n" not in str(error.value)
