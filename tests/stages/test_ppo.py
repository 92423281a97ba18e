"""PPO: advantages by hand, its gradient against enumeration, its loss against plain loops, and whole runs."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from chainlift.learning.policy_update import PolicyBatch
from chainlift.learning.rollout import sample
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.runs.store import read_rows
from chainlift.seeding import stream
from chainlift.stages.kinds.ppo import ActorCritic, ProximalPolicyOptimization, token_advantages
from chainlift.tasks import registry as tasks
from chainlift.tasks.running_sum import RunningSumSettings
from tests.conftest import SMALL
from tests.in_process import Ended, command
from tests.stages.table import EOS, MASK, RESPONSES, REWARDS, STATES, Table, chances, every_response, token_logp
from tests.stages.tiny_with import lifts_tiny, refused


def true_values(logits: Tensor) -> Tensor:
    """(3,) expected reward of the states at the beginning, after 0 and after 1; computed from single tokens."""
    policy = logits.detach().softmax(dim=1)
    after = [sum(float(policy[1 + t, n]) * float(REWARDS[1 + 3 * t + n]) for n in range(3)) for t in (0, 1)]
    first = float(policy[0, 0]) * after[0] + float(policy[0, 1]) * after[1] + float(policy[0, EOS]) * float(REWARDS[0])
    return torch.tensor([first, *after])


def expected_gradient(model: Table, learner: ActorCritic, weights: Tensor) -> Tensor:
    """(3, 3) gradient that an update leaves in the table, rows weighing as much as they are likely."""
    rollout = every_response(model.logits_of)
    learner.prepare_round(rollout, REWARDS)
    learner.accumulate_gradient(PolicyBatch(rollout, REWARDS, weights, on_policy=True))
    assert model.logits_of.grad is not None
    return model.logits_of.grad


def enumerated_gradient(model: Table) -> Tensor:
    """(3, 3) gradient of minus the expected reward."""
    logits = model.logits_of.detach().clone().requires_grad_()
    return torch.autograd.grad(-(chances(logits) * REWARDS).sum(), logits)[0]


def settings(**chosen: Any) -> ProximalPolicyOptimization:
    return ProximalPolicyOptimization(**chosen)


def test_advantages_by_hand() -> None:
    """gamma .9, lambda .5: delta = .9 * .6 - .5, .9 * .8 - .6, 1 - .8 = .04, .12, .2, each with .45 of the next."""
    values = torch.tensor([[0.5, 0.6, 0.8], [0.3, 7.0, 7.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    found = token_advantages(torch.tensor([1.0, 0.0]), values, mask, 0.9, 0.5)
    by_hand = [[0.04 + 0.45 * 0.21, 0.12 + 0.45 * 0.2, 0.2], [-0.3, 0.0, 0.0]]
    torch.testing.assert_close(found, torch.tensor(by_hand))


def test_with_lambda_1_an_advantage_is_the_reward_less_the_value() -> None:
    values = torch.rand(7, 2, generator=stream(0, "values"))
    found = token_advantages(REWARDS, values, MASK, 1.0, 1.0)
    torch.testing.assert_close(found, (REWARDS[:, None] - values) * MASK)


def test_without_values_the_expected_gradient_is_that_of_the_expected_reward() -> None:
    model = Table()
    learner = ActorCritic(settings(gae_lambda=1.0), model)
    found = expected_gradient(model, learner, chances(model.logits_of).detach())
    torch.testing.assert_close(found, enumerated_gradient(model), atol=1e-6, rtol=1e-5)
    assert float(found.norm()) > 0.05


@pytest.mark.parametrize("gae_lambda", [0.0, 0.6, 1.0])
def test_with_perfect_values_the_gradient_stays_and_no_state_has_an_advantage(gae_lambda: float) -> None:
    model = Table()
    learner = ActorCritic(settings(gae_lambda=gae_lambda, value_coefficient=0.0), model)
    policy, values = model.logits_of.detach().softmax(dim=1), true_values(model.logits_of)
    with torch.no_grad():  # the head reads probabilities: three states, so that some weights give their values
        learner.head.weight.copy_(torch.linalg.solve(policy, values))
    weights = chances(model.logits_of).detach()
    found = expected_gradient(model, learner, weights)
    torch.testing.assert_close(found, enumerated_gradient(model), atol=1e-6, rtol=1e-5)
    by_state = torch.zeros(3).index_add(0, STATES[MASK], (weights[:, None] * learner.advantages)[MASK])
    torch.testing.assert_close(by_state, torch.zeros(3), atol=1e-6, rtol=0)
    assert float(learner.advantages.abs().max()) > 0.1


def test_all_three_losses_off_policy_against_plain_loops() -> None:
    model, sampler = Table(0), Table(1)
    chosen = settings(value_coefficient=0.7, entropy_coefficient=0.3, gae_lambda=0.5, temperature=1.5)
    learner = ActorCritic(chosen, model)
    with torch.no_grad():
        learner.head.weight.copy_(torch.tensor([[0.4, -0.2, 0.1]]))
    rollout, weights = every_response(sampler.logits_of / 1.5), torch.linspace(0, 1, 7)
    learner.prepare_round(rollout, REWARDS)
    with torch.no_grad():
        learner.head.bias.fill_(0.25)  # the values have moved since the round began
    found = learner.accumulate_gradient(PolicyBatch(rollout, REWARDS, weights, on_policy=False))
    hot = model.logits_of.detach() / 1.5
    logp = token_logp(hot)
    policy_loss = value_loss = entropy = 0.0
    clipped = scored = 0
    for i, response in enumerate(RESPONSES):
        for t in range(len(response)):
            weight, advantage = float(weights[i]), float(learner.advantages[i, t])
            ratio = math.exp(float(logp[i, t] - rollout.logp[i, t]))
            policy_loss -= weight * min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
            clipped += weight > 0 and ((ratio < 0.8 and advantage < 0) or (ratio > 1.2 and advantage > 0))
            scored += weight > 0
            state = int(STATES[i, t])
            value = 0.25 + float(model.logits_of.detach()[state].softmax(dim=0) @ torch.tensor([0.4, -0.2, 0.1]))
            value_loss += weight * (value - float(learner.returns[i, t])) ** 2 / 2
            chance = hot[state].softmax(dim=0)
            entropy -= weight * float((chance * chance.log()).sum())
    assert found["value_loss"] == pytest.approx(value_loss, rel=1e-5)
    assert found["loss"] == pytest.approx(policy_loss + 0.7 * value_loss - 0.3 * entropy, rel=1e-5)
    assert found["clip_fraction"] == pytest.approx(clipped / scored)
    assert 0 < clipped < scored
    assert found["tokens"] == scored + 6  # the first row weighs nothing


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_the_head_reads_the_last_hidden_state(family: Any) -> None:
    """Its values are what the model would give as logits if the value head stood in its head's place."""
    model = Transformer(ModelSettings(family=family, layers=2, width=16, heads=2), 3, 8).initialize(stream(0, "model"))
    prompts = torch.randint(2, (3, 4), generator=stream(0, "prompts"))
    rollout = sample(model, prompts, eos=EOS, max_tokens=4, group_size=5, generator=stream(0, "samples"))
    learner = ActorCritic(settings(), model)
    nn.init.normal_(learner.head.weight, generator=stream(0, "head"))
    other = copy.deepcopy(model)
    other.head = learner.head
    sequences = torch.cat([rollout.row_prompts, rollout.responses[:, :-1]], dim=1)
    expected = other.read(sequences, 3)[..., 0] * rollout.mask
    learner.prepare_round(rollout, torch.zeros(15))
    torch.testing.assert_close((learner.returns - learner.advantages) * rollout.mask, expected)
    assert float(expected.detach().abs().max()) > 0.1
    assert not model.head._forward_pre_hooks


def test_a_checkpoint_holds_the_head_and_its_optimizer(tmp_path: Path) -> None:
    task = tasks.build(RunningSumSettings(d=3))
    model = Transformer(ModelSettings(layers=1, width=8, heads=2), 3, 7).initialize(stream(0, "model"))
    learner = ActorCritic(settings(), model)
    optimizer = learner.optimizer()
    for parameter in (*model.parameters(), *learner.head.parameters()):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step(1.0)
    folder = checkpoint.save(tmp_path, TrainerState("posttrain", step=1), model, task, optimizer)
    again = ActorCritic(settings(), copy.deepcopy(model))
    optimizer_again = again.optimizer()
    checkpoint.restore(folder, again.model, optimizer_again)
    assert float(again.head.weight.detach().abs().min()) > 0
    for own, other in zip(learner.head.parameters(), again.head.parameters(), strict=True):
        assert own.equal(other)
        assert optimizer.state[own].keys() == optimizer_again.state[other].keys()
        assert all(value.equal(optimizer_again.state[other][name]) for name, value in optimizer.state[own].items())


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


PPO = "stages.posttrain={kind: ppo, prompts: 16, steps: 3}"


def run(*changes: str, draws: bool = False) -> Ended:
    few = ("pretrain.steps=4", "continued_pretrain=null")
    return command("run", "small.yaml", *few, *changes, "--out", "runs", "--json", draws=draws)


@pytest.mark.parametrize("model", ["model.layers=1", "model={family: linear}"])
def test_a_run_has_its_numbers_and_its_page_and_shares_the_stage(model: str) -> None:
    code, out, err = run(PPO, model, draws=True)
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["posttrain"].items() >= {"kind": "ppo", "algorithm": "ppo", "steps": 3, "rollouts": 32}.items()
    folder = Path("runs") / summary["run_id"]
    updates = [row for row in read_rows(folder / "metrics.jsonl") if row["stage"] == "posttrain" and "loss" in row]
    assert [row["round"] for row in updates] == [1, 1, 2]
    assert all(row["kept_share"] <= 1 and row["value_loss"] >= 0 for row in updates)
    assert "reinforcement learning" in (folder / "report.html").read_text(encoding="utf-8")
    assert (folder / "figures/signal-posttrain.png").read_bytes().startswith(b"\x89PNG")
    again = run(PPO, model, "evaluate.prompts=33")
    assert "reinforcement learning: taken from" in again.err


def test_what_else_rl_has_goes_with_it() -> None:
    code, _, err = run(
        PPO.replace("}", ", group_size: 4, minibatches: 2, dynamic_sampling: true, ntp_weight: 0.1, clip_high: 0.3}")
    )
    assert code == 0, err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("posttrain.kl=0.1", "posttrain.kl: must be 0.0 where kind is ppo; kind rl has others (got 0.1)"),
        ("posttrain.algorithm=grpo", "posttrain.algorithm: must be ppo where kind is ppo"),
        ("posttrain.advantage=group_mean", "posttrain.advantage: must be None where kind is ppo"),
        ("posttrain.gea_lambda=1", "posttrain.gea_lambda: unknown key, did you mean 'gae_lambda'"),
    ],
)
def test_what_it_lacks_is_refused_in_one_line(change: str, told: str) -> None:
    refused(run(PPO, change), told)


@pytest.mark.slow
def test_it_lifts_tiny() -> None:
    """Greedy answers are a coin flip after next-token prediction, and right after PPO."""
    stage = "stages.posttrain={kind: ppo, prompts: 256, steps: 16, steps_per_round: 1, lr: 2e-3}"
    lifts_tiny(stage)
