"""The savings of the update change no gradient."""

from dataclasses import replace
from unittest import mock

import pytest
import torch
from torch import Tensor

from chainlift.learning import objective, rollout
from chainlift.learning.likelihood import length_buckets
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import PRESETS
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.stages import recipe
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.tasks.running_sum import RunningSum
from tests.learning import plain_engine

PROMPTS, GROUP = 6, 4


def draw(model: Transformer, task: RunningSum) -> rollout.Rollout:
    return rollout.sample(
        model,
        task.prompts(PROMPTS, stream(0, "prompts")),
        eos=2,
        max_tokens=7,
        group_size=GROUP,
        generator=stream(0, "samples"),
    )


def advantages() -> Tensor:
    found = torch.empty(PROMPTS * GROUP).normal_(generator=stream(0, "advantages"))
    found[4:12] = 0.0  # two groups without signal
    return found


def gradient(model: Transformer, batch: PolicyBatch, name: str, kl: float = 0.0) -> list[Tensor]:
    model.zero_grad()
    accumulate_gradient(model, batch, PRESETS[name], temperature=1.3, kl=kl)
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


def plain_gradient(model: Transformer, batch: PolicyBatch, name: str, kl: float = 0.0) -> list[Tensor]:
    model.zero_grad()
    plain_engine.policy_loss(model, batch, PRESETS[name], temperature=1.3, kl=kl).backward()
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


def assert_same(one: list[Tensor], other: list[Tensor]) -> None:
    assert any(float(gradient.norm()) > 1e-3 for gradient in one)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("on_policy", [True, False])
def test_all_savings_together(model: Transformer, task: RunningSum, name: str, on_policy: bool) -> None:
    found = draw(model, task)
    if not on_policy:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.empty_like(parameter).normal_(generator=stream(1, "moved"))
    weights = objective.sequence_weights(found.num_actions, PRESETS[name].aggregate, max_length=7)
    batch = PolicyBatch(found, advantages(), weights, on_policy)
    assert_same(gradient(model, batch, name), plain_gradient(model, batch, name))


@pytest.mark.parametrize("on_policy", [True, False])
def test_decisions_that_weigh_apart(model: Transformer, task: RunningSum, on_policy: bool) -> None:
    """The first two tokens of every response have weights of their own."""
    found = draw(model, task)
    weights = objective.sequence_weights(found.num_actions, "sequence_mean", max_length=7)
    decisions = 0.3 * objective.sequence_weights(found.num_actions, "sequence_sum", max_length=7)
    batch = PolicyBatch(found, advantages(), weights, on_policy, decision_weights=decisions)
    apart = gradient(model, batch, "grpo")
    assert_same(apart, plain_gradient(model, batch, "grpo"))
    plain = gradient(model, replace(batch, decision_weights=None), "grpo")
    assert any(not torch.allclose(a, b, atol=1e-4) for a, b in zip(apart, plain, strict=True))


@pytest.mark.parametrize("on_policy", [True, False])
def test_equal_responses_to_a_prompt_are_read_once(model: Transformer, task: RunningSum, on_policy: bool) -> None:
    """Each keeps its own advantage, weight and, off policy, recorded log-probability."""
    found = draw(model, task)
    copied = torch.arange(PROMPTS * GROUP) // 2 * 2  # of each group two rows, twice
    noise = 0.1 * torch.empty(found.logp.shape).normal_(generator=stream(0, "recorded")) * found.mask[copied]
    found = replace(
        found,
        responses=found.responses[copied],
        num_actions=found.num_actions[copied],
        logp=found.logp[copied] + (0 if on_policy else noise),
    )
    weights = objective.sequence_weights(found.num_actions, "sequence_mean", max_length=7)
    batch = PolicyBatch(found, advantages(), weights * torch.linspace(0.5, 2, len(weights)), on_policy)
    with mock.patch.object(Transformer, "logits", autospec=True, side_effect=Transformer.logits) as reads:
        once = gradient(model, batch, "grpo")
    read = sum(len(call.args[2]) for call in reads.call_args_list)
    kept = batch.advantages != 0
    assert read == len({(i // GROUP, tuple(found.responses[i].tolist())) for i in kept.nonzero()[:, 0].tolist()})
    assert read <= int(kept.sum()) // 2
    assert_same(once, plain_gradient(model, batch, "grpo"))


@pytest.mark.parametrize("max_tokens", [1, 9, 10_000])
def test_the_size_of_forward_passes(
    model: Transformer, task: RunningSum, max_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = draw(model, task)
    batch = PolicyBatch(
        found, advantages(), objective.sequence_weights(found.num_actions, "token_mean", max_length=7), True
    )
    usual = gradient(model, batch, "dapo")
    monkeypatch.setattr(Transformer, "tokens_per_pass", max_tokens)
    assert_same(usual, gradient(model, batch, "dapo"))


def test_kl_reaches_rows_without_advantage(model: Transformer, task: RunningSum) -> None:
    found = draw(model, task)
    start_logp = found.logp + 0.3 * found.mask
    weights = objective.sequence_weights(found.num_actions, "sequence_mean", max_length=7)
    batch = PolicyBatch(found, advantages(), weights, True, start_logp)
    with_kl = gradient(model, batch, "grpo", kl=0.5)
    assert_same(with_kl, plain_gradient(model, batch, "grpo", kl=0.5))
    assert any(not torch.allclose(a, b) for a, b in zip(with_kl, gradient(model, batch, "grpo"), strict=True))


def test_no_signal_at_all_is_a_zero_step_and_no_error(model: Transformer, task: RunningSum) -> None:
    found = draw(model, task)
    weights = objective.sequence_weights(found.num_actions, "sequence_mean", max_length=7)
    batch = PolicyBatch(found, torch.zeros(PROMPTS * GROUP), weights, True)
    metrics = accumulate_gradient(model, batch, PRESETS["grpo"], temperature=1.0)
    assert metrics["loss"] == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_metrics_of_an_update(model: Transformer, task: RunningSum) -> None:
    found = draw(model, task)
    weights = objective.sequence_weights(found.num_actions, "sequence_mean", max_length=7)
    chosen = advantages()
    metrics = accumulate_gradient(model, PolicyBatch(found, chosen, weights, True), PRESETS["grpo"], temperature=1.0)
    rows = chosen != 0
    assert metrics["tokens"] == int(found.num_actions[rows].sum()) + int(rows.sum()) * 6
    assert metrics["logp_error_max"] is not None
    assert metrics["logp_error_max"] < 1e-5, "the sampler and the update must agree on log-probabilities"
    assert metrics["clip_fraction"] == 0, "ratios are one on policy"
    off_policy = accumulate_gradient(
        model, PolicyBatch(found, chosen, weights, False), PRESETS["grpo"], temperature=1.0
    )
    assert off_policy["logp_error_max"] is None


def test_buckets_hold_every_row_once_and_waste_less_than_half() -> None:
    lengths = torch.randint(1, 60, (200,), generator=stream(0, "lengths"))
    buckets = list(length_buckets(lengths, 300))
    assert torch.equal(torch.cat(buckets).sort().values, torch.arange(200))
    for bucket in buckets:
        inside = lengths[bucket]
        assert int(inside.max()) < 2 * int(inside.min()) or int(inside.max()) == 1
        assert len(bucket) == 1 or len(bucket) * int(inside.max()) <= 300


def test_settings_override_the_preset() -> None:
    settings = ReinforcementLearning(algorithm="reinforce", advantage="none", aggregate="token_mean")
    assert settings.objective.advantage == "none"
    assert settings.objective.aggregate == "token_mean"
    assert settings.objective.ratio == "none"
    assert settings.steps_a_round == 1
    assert ReinforcementLearning(algorithm="star").steps_a_round == 4


@pytest.mark.parametrize("chosen", [{"algorithm": "star"}, {"algorithm": "reinforce", "advantage": "accept"}])
def test_a_length_penalty_that_changes_nothing_is_refused(chosen: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="length_penalty changes nothing for advantage accept") as told:
        recipe.load("tiny", ["posttrain.length_penalty=0.1", *(f"posttrain.{k}={v}" for k, v in chosen.items())])
    assert "\n" not in str(told.value)
