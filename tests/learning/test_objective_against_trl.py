"""Our presets against the real TRL: equal responses, rewards, old log-probabilities; equal loss and gradient.

TRL's own code scores the responses (masks, advantages, number of tokens) and computes its loss; only its
sampler is replaced, by responses written below. Old log-probabilities are far enough from the policy's that
both sides of each clip are hit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
pytest.importorskip("trl")

import trl
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from chainlift.learning import advantage, objective
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import PRESETS
from chainlift.learning.rollout import Rollout
from chainlift.models.hub import model_folder
from chainlift.models.transformer.transformer import ModelSettings, Transformer
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings

TASK = RunningSum(RunningSumSettings(d=4))
PROMPTS = ["0110", "1010", "0001", "1111"]
GROUP_SIZE = 4
MAX_LENGTH = 6
# Lengths 1 (nothing but <eos>) to 6, two of them cut off without <eos>.
RESPONSES = [
    *([0, 2], [0, 1, 0, 0, 2], [1, 2], [2]),
    *([1, 1, 0, 1, 2], [0, 2], [1, 1, 0, 0, 1, 0], [1, 0, 2]),
    *([1, 2], [0, 2], [0, 0, 0, 1, 2], [0, 0, 1, 1, 2]),
    *([0, 2], [1, 0, 1, 0, 2], [1, 0, 1, 0, 1, 1], [1, 1, 2]),
]
# Binary, one right, graded, and a group without signal.
REWARDS = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.3, 0.9, 0.4, 1.0, 0.1, 0.1, 0.1, 0.1]

# TRL's settings for each preset, and how far the old log-probabilities are off (the clips differ in width).
TRL_SETTINGS: dict[str, tuple[dict[str, Any], float]] = {
    "grpo": ({"loss_type": "grpo", "scale_rewards": "group", "epsilon": 0.2}, 0.3),
    "dr_grpo": ({"loss_type": "dr_grpo", "scale_rewards": "none", "epsilon": 0.2}, 0.3),
    "dapo": ({"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28}, 0.3),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4},
        2e-3,
    ),
    "cispo": ({"loss_type": "cispo", "epsilon_high": 5.0}, 2.0),
    "rloo": ({"epsilon": 0.2}, 0.3),
}


@dataclass(frozen=True)
class Reference:
    """What TRL makes of the responses: the tensors, its loss, its gradient, and how much it clipped."""

    prompts: Tensor
    responses: Tensor
    mask: Tensor
    advantages: Tensor
    old_logp: Tensor
    loss: Tensor
    gradient: dict[str, Tensor]
    clipped: dict[str, float]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model whose distributions are far from uniform, as a folder that both sides open."""
    model = Transformer(ModelSettings(layers=2, width=16, heads=2), TASK.vocabulary.size, 4 + MAX_LENGTH)
    model.initialize(torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("checkpoint")
    model_folder.save(model, TASK, folder)
    return folder


@pytest.fixture(scope="module", params=TRL_SETTINGS)
def case(request: pytest.FixtureRequest, checkpoint: Path) -> tuple[str, Reference]:
    """(preset, what TRL computes under it)."""
    return request.param, _reference(request.param, checkpoint)


def _reference(preset: str, checkpoint: Path) -> Reference:
    """Drive TRL's trainer of the preset over the responses, without a training loop."""
    trainer = _trainer(preset, checkpoint)
    model = trainer.model.train()
    rows = [{"prompt": prompt} for prompt in PROMPTS for _ in range(GROUP_SIZE)]
    inputs = trainer._generate_and_score_completions(rows)
    mask = inputs["completion_mask"]
    logp = _model_logp(model, inputs["prompt_ids"], inputs["completion_ids"]).detach()
    noise = torch.randn(logp.shape, generator=torch.Generator().manual_seed(1))
    old_logp = logp + TRL_SETTINGS[preset][1] * noise
    inputs["old_per_token_logps"] = old_logp
    inputs["old_logps"] = (old_logp * mask).sum(dim=1)  # RLOO's form of the same
    trainer._metrics["train"].clear()
    loss = trainer.compute_loss(model, inputs)
    loss.backward()
    return Reference(
        prompts=inputs["prompt_ids"],
        responses=inputs["completion_ids"],
        mask=mask.bool(),
        advantages=inputs["advantages"],
        old_logp=old_logp,
        loss=loss.detach(),
        gradient=_gradient(model),
        clipped={name: values[-1] for name, values in trainer._metrics["train"].items() if "clip" in name},
    )


@pytest.mark.parametrize("preset", [name for name in TRL_SETTINGS if name not in ("gspo", "rloo")])
@pytest.mark.parametrize("noise", [0.0, 0.3], ids=["on policy", "off policy"])
def test_the_kl_term_equals_trl(preset: str, noise: float, checkpoint: Path) -> None:
    """The loss with a KL term and its gradient, but for presets whose ratio is a sequence's: there TRL weighs a token's
    KL by that, which its own documentation calls biased, or puts KL into the reward.
    """
    trainer = _trainer(preset, checkpoint)
    model = trainer.model.train()
    inputs = trainer._generate_and_score_completions([{"prompt": p} for p in PROMPTS for _ in range(GROUP_SIZE)])
    mask, shape = inputs["completion_mask"].bool(), inputs["completion_ids"].shape
    logp = _model_logp(model, inputs["prompt_ids"], inputs["completion_ids"])
    draws = torch.Generator().manual_seed(2)
    start_logp = logp.detach() + 0.5 * torch.randn(shape, generator=draws)
    old_logp = logp.detach() + noise * torch.randn(shape, generator=draws)
    trainer.beta = 0.7
    theirs = trainer.compute_loss(model, inputs | {"ref_per_token_logps": start_logp, "old_per_token_logps": old_logp})
    theirs.backward()
    gradient = _gradient(model)
    model.zero_grad()
    weights = objective.sequence_weights(mask.sum(dim=1), PRESETS[preset].aggregate, max_length=MAX_LENGTH)
    ours, _ = objective.loss(logp, old_logp, inputs["advantages"], mask, weights, PRESETS[preset])
    ours = ours + 0.7 * objective.kl_to_start(logp, old_logp, start_logp, mask, weights)
    ours.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    _assert_same_gradient(_gradient(model), gradient)


def _trainer(preset: str, checkpoint: Path) -> Any:
    """TRL's trainer for the preset; its sampler returns RESPONSES, its reward function REWARDS."""
    name = "RLOO" if preset == "rloo" else "GRPO"
    settings = getattr(trl, f"{name}Config")(
        output_dir=str(checkpoint / "trainer"),
        **TRL_SETTINGS[preset][0],
        beta=0.0,
        num_generations=GROUP_SIZE,
        max_completion_length=MAX_LENGTH,
        per_device_train_batch_size=len(RESPONSES),
        gradient_accumulation_steps=1,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        report_to=[],
    )
    trainer = getattr(trl, f"{name}Trainer")(
        model=AutoModelForCausalLM.from_pretrained(checkpoint),
        processing_class=AutoTokenizer.from_pretrained(checkpoint),
        args=settings,
        reward_funcs=lambda completion_ids, **_: REWARDS,
        train_dataset=Dataset.from_dict({"prompt": PROMPTS}),
    )
    trainer._generate_single_turn = lambda *_: RESPONSES if preset == "rloo" else (RESPONSES, None)
    trainer.current_gradient_accumulation_steps = 1  # set by the training loop, which is not run here
    return trainer


def _model_logp(model: Any, prompts: Tensor, responses: Tensor) -> Tensor:
    """Log-probabilities (B, R) of the responses under a transformers model."""
    logits = model(torch.cat([prompts, responses], dim=1)).logits[:, prompts.shape[1] - 1 : -1]
    return logits.log_softmax(dim=-1).gather(2, responses[:, :, None])[:, :, 0]


def _gradient(model: torch.nn.Module) -> dict[str, Tensor]:
    """The parameters' gradients by name."""
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _assert_same_gradient(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Every parameter is reached, by both, and the gradients differ by rounding only."""
    assert ours.keys() == theirs.keys()
    scale = max(float(g.abs().max()) for g in theirs.values())
    assert scale > 1e-3
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-5 * scale)


def _weights(reference: Reference, preset: str) -> Tensor:
    num_actions = reference.mask.sum(dim=1)
    return objective.sequence_weights(num_actions, PRESETS[preset].aggregate, max_length=MAX_LENGTH)


def test_advantages_equal_trl(case: tuple[str, Reference]) -> None:
    preset, reference = case
    rewards = torch.tensor(REWARDS).view(len(PROMPTS), GROUP_SIZE)
    ours = advantage.estimate(rewards, PRESETS[preset].advantage).flatten()
    torch.testing.assert_close(ours, reference.advantages, rtol=1e-5, atol=2e-5)
    assert reference.advantages.abs().max() > 0.5


def test_both_clips_are_hit(case: tuple[str, Reference]) -> None:
    """Otherwise the comparison below would be of plain policy gradients."""
    preset, reference = case
    sides = ["cispo_clip_ratio"] if preset == "cispo" else ["clip_ratio/low_mean", "clip_ratio/high_mean"]
    assert all(0.02 < reference.clipped[side] < 0.5 for side in sides)


def test_objective_equals_trl(case: tuple[str, Reference], checkpoint: Path) -> None:
    """The formula alone, on the same transformers model."""
    preset, reference = case
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    logp = _model_logp(model, reference.prompts, reference.responses)
    weights = _weights(reference, preset)
    loss, clipped = objective.loss(
        logp, reference.old_logp, reference.advantages, reference.mask, weights, PRESETS[preset]
    )
    loss.backward()
    torch.testing.assert_close(loss, reference.loss, rtol=1e-5, atol=1e-6)
    _assert_same_gradient(_gradient(model), reference.gradient)
    if preset in ("grpo", "dr_grpo", "dapo"):  # the others count sequences in TRL, or one sign of A only
        share = float(clipped) / float(reference.mask.sum())
        assert share == pytest.approx(reference.clipped["clip_ratio/region_mean"], rel=1e-5)


def test_update_equals_trl(case: tuple[str, Reference], checkpoint: Path, tmp_path: Path) -> None:
    """The whole update: our model, shared prompts, buckets, rows without signal left out."""
    preset, reference = case
    model, task = model_folder.load(checkpoint)
    num_actions = reference.mask.sum(dim=1)
    rollout = Rollout(
        prompts=reference.prompts[::GROUP_SIZE],
        rows=torch.arange(len(PROMPTS)).repeat_interleave(GROUP_SIZE),
        responses=reference.responses,
        logp=reference.old_logp,
        num_actions=num_actions,
        entropy=torch.zeros(()),
    )
    rewards = torch.tensor(REWARDS).view(len(PROMPTS), GROUP_SIZE)
    batch = PolicyBatch(
        rollout,
        advantages=advantage.estimate(rewards, PRESETS[preset].advantage).flatten(),
        weights=_weights(reference, preset),
        on_policy=False,
    )
    metrics = accumulate_gradient(model, batch, PRESETS[preset], temperature=1.0)
    assert metrics["loss"] == pytest.approx(float(reference.loss), rel=1e-4, abs=1e-5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.grad if parameter.grad is not None else torch.zeros_like(parameter))
    model_folder.save(model, task, tmp_path)  # the gradient under transformers' names
    ours = load_file(tmp_path / "model.safetensors")
    _assert_same_gradient(ours, reference.gradient)
