"""The gradient of one RL update: prompts read once, responses in buckets of similar length, memory bounded.

Savings that change no gradient (tests switch each off): a prompt's keys and values are computed once for its whole
group; equal responses to a prompt are scored once, as their log-probabilities are the same; rows whose advantage is
zero are left out unless a KL term needs them (all means are in the weights already); and the first update after a
rollout takes its own detached log-probabilities as the old ones, since the policy has not changed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from pydantic import Field, ValidationInfo, field_validator, model_validator
from torch import Tensor

from chainlift.learning import objective as objectives
from chainlift.learning.advantage import GROUP_KINDS
from chainlift.learning.likelihood import MAX_TOKENS, length_buckets, log_probs
from chainlift.learning.optimizer import OptimizerSettings
from chainlift.learning.presets import AdvantageKind, Aggregate, ClipKind, Objective, RatioKind, preset
from chainlift.learning.reward import REWARDS
from chainlift.learning.rollout import Rollout
from chainlift.models import savings
from chainlift.models.protocol import Cache, SequenceModel, split_prompts


class PosttrainSettings(OptimizerSettings):
    """Stage 2: rounds of sampling, scoring and updating. What is left at null comes from the algorithm's preset."""

    algorithm: str = "grpo"
    """star, reinforce, rloo, grpo, dr_grpo, dapo, gspo, cispo (learning/presets.py), or one's own: `module:name`."""
    reward: str = "end_to_end"
    """end_to_end, the answer is right; chain, all of it is gold, long or short; or one's own: `module:name`."""
    prompts: int = Field(default=32, ge=1)
    """P: new prompts a round."""
    group_size: int = Field(default=8, ge=1)
    """G: samples per prompt."""
    updates: int = Field(default=40, ge=1)
    """Optimizer updates in all."""
    updates_per_round: int | None = Field(default=None, ge=1)
    """Updates from one round's samples; default: the algorithm's, 4 for star and 1 for the other shipped ones."""
    minibatches: int = Field(default=1, ge=1)
    """Parts into which a round's samples are shuffled, one an update."""
    temperature: float = Field(default=1.0, ge=1e-6, le=1e9)
    """Of sampling and of scoring."""
    lr: float = Field(default=2e-4, gt=0)
    """Peak learning rate."""
    warmup: int = Field(default=0, ge=0)
    """Updates of linear warm-up."""
    kl: float = Field(default=0.0, ge=0)
    """Coefficient of KL(policy || start model)."""
    length_penalty: float = 0.0
    """Subtracted from the reward: this times length / (length of a full chain)."""
    dynamic_sampling: bool = False
    """Draw further prompts in place of groups whose rewards, before the length penalty, are all equal (DAPO)."""
    dynamic_sampling_tries: int = Field(default=4, ge=1)
    """Batches of prompts drawn at most in a round of dynamic sampling."""
    restart: bool = False
    """Fit every round's samples from the start model on, as STaR of Zelikman et al. does; they are the last fit's."""
    checkpoint_every: int = Field(default=5, ge=1)
    """Rounds between two checkpoints."""
    advantage: AdvantageKind | None = None
    """Overrides the preset: what rewards are compared with."""
    ratio: RatioKind | None = None
    """Overrides the preset: the importance ratio."""
    clip: ClipKind | None = None
    """Overrides the preset: how ratios are cut."""
    clip_low: float | None = Field(default=None, ge=0)
    """Overrides the preset: lower clip distance."""
    clip_high: float | None = Field(default=None, ge=0)
    """Overrides the preset: upper clip distance, or bound."""
    aggregate: Aggregate | None = None
    """Overrides the preset: how tokens and sequences are weighted."""

    @field_validator("algorithm")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        preset(value, info.context)
        return value

    @field_validator("reward")
    @classmethod
    def _reward_is_known(cls, value: str, info: ValidationInfo) -> str:
        REWARDS.find(value, info.context)
        return value

    @model_validator(mode="after")
    def _group_fits(self) -> PosttrainSettings:
        if self.group_size < 2 and self.objective.advantage in GROUP_KINDS:
            raise ValueError(f"group_size must be at least 2 for advantage {self.objective.advantage}")
        if self.length_penalty and self.objective.advantage == "accept":
            raise ValueError(
                "length_penalty changes nothing for advantage accept, which keeps what is right; leave it out"
            )
        return self

    @property
    def objective(self) -> Objective:
        """The preset with what the settings override."""
        chosen = {name: getattr(self, name) for name in Objective.model_fields}
        return preset(self.algorithm).model_copy(update={k: v for k, v in chosen.items() if v is not None})

    @property
    def updates_a_round(self) -> int:
        """Updates from one round's samples, default filled in."""
        return self.objective.updates_per_round


@dataclass(frozen=True)
class PolicyBatch:
    """What one update learns from: some rows of a rollout with their advantages (N,) and weights (N,)."""

    rollout: Rollout
    advantages: Tensor
    weights: Tensor
    on_policy: bool
    """The weights of the model are still those that sampled the rollout."""
    start_logp: Tensor | None = None
    """(N, R) log-probabilities under the start model, where the KL term is on."""
    kl_weights: Tensor | None = None
    """(N,) weights of the rows in the KL term; null: `weights`."""


def accumulate_gradient(
    model: SequenceModel, batch: PolicyBatch, objective: Objective, *, temperature: float, kl: float = 0.0
) -> dict[str, float | None]:
    """{loss, clip_fraction, scored, logp_error_max, kl, tokens}; the gradient is left in the parameters' `.grad`.

    clip_fraction is a share of the tokens scored; logp_error_max the largest |recomputed - recorded| log-probability,
    None off policy; tokens counts prompt and response tokens of the rows that were forwarded.
    """
    rollout = batch.rollout
    needed = batch.weights != 0
    if savings.on("zero advantage"):
        needed &= batch.advantages != 0
    if kl:
        needed |= _kl_weights(batch) != 0
    selected = needed.nonzero()[:, 0]
    totals = {"loss": 0.0, "clipped": 0.0, "tokens": 0.0, "kl": 0.0, "error": 0.0}
    prompts, prompt_of = rollout.rows[selected].unique(return_inverse=True)
    at_once = max(MAX_TOKENS // rollout.prompts.shape[1], 1)
    for start in range(0, len(prompts), at_once):
        members = (prompt_of >= start) & (prompt_of < start + at_once)
        rows = _Rows(selected[members], prompt_of[members] - start)
        _prompts_backward(
            model, rollout.prompts[prompts[start : start + at_once]], batch, rows, objective, temperature, kl, totals
        )
    num_scored = max(totals["tokens"], 1.0)
    return {
        "loss": totals["loss"],
        "clip_fraction": totals["clipped"] / num_scored,
        "scored": totals["tokens"],
        "logp_error_max": totals["error"] if batch.on_policy else None,
        "kl": totals["kl"] if kl else None,
        "tokens": totals["tokens"] + len(selected) * rollout.prompts.shape[1],
    }


def _kl_weights(batch: PolicyBatch) -> Tensor:
    """(N,) weights of the rows in the KL term."""
    return batch.weights if batch.kl_weights is None else batch.kl_weights


class _Rows(NamedTuple):
    """Rows of the rollout, n of them."""

    numbers: Tensor
    """(n,) in the rollout."""
    of: Tensor
    """(n,) which of the prompts, or of the distinct responses, at hand is theirs."""


def _prompts_backward(
    model: SequenceModel,
    prompts: Tensor,
    batch: PolicyBatch,
    rows: _Rows,
    objective: Objective,
    temperature: float,
    kl: float,
    totals: dict[str, float],
) -> None:
    """Add the gradient of the rows of some prompts (P, T), and their part of the totals."""
    rollout = batch.rollout
    prefix, last = split_prompts(prompts)
    cache = model.prefill(prefix)
    # Each bucket's backward pass ends at these leaves; the prompts' own backward pass then runs once for all.
    leaves = [(_leaf(key), _leaf(value)) for key, value in cache]
    distinct, distinct_of = _distinct(rollout.responses[rows.numbers], rows.of)
    for bucket in length_buckets(rollout.num_actions[rows.numbers[distinct]], MAX_TOKENS):
        place = torch.full_like(distinct, -1)
        place[bucket] = torch.arange(len(bucket), device=place.device)
        members = (place[distinct_of] >= 0).nonzero()[:, 0]
        own = _Rows(rows.numbers[members], place[distinct_of[members]])
        prompt_of = rows.of[distinct[bucket]]
        _bucket_backward(model, leaves, last, prompt_of, batch, own, objective, temperature, kl, totals)
    whole, cut = itertools.chain.from_iterable(cache), itertools.chain.from_iterable(leaves)
    reached = [(t, leaf.grad) for t, leaf in zip(whole, cut, strict=True) if leaf.grad is not None]
    if reached:
        torch.autograd.backward([t for t, _ in reached], [grad for _, grad in reached])


def _distinct(responses: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """(numbers (S,) of rows that stand for all of responses (N, R) to prompts (N,), which of them each row is (N,))."""
    numbers = torch.arange(len(responses), device=responses.device)
    if not savings.on("equal samples"):
        return numbers, numbers
    told = torch.cat([prompts[:, None], responses], dim=1)
    distinct, which = told.unique(dim=0, return_inverse=True)
    return numbers.new_empty(len(distinct)).index_copy_(0, which, numbers), which


def _leaf(tensor: Tensor) -> Tensor:
    """The tensor cut off its graph, collecting a gradient of its own."""
    return tensor.detach().requires_grad_(tensor.requires_grad)


def _bucket_backward(
    model: SequenceModel,
    leaves: Cache,
    last: Tensor,
    prompt_of: Tensor,
    batch: PolicyBatch,
    own: _Rows,
    objective: Objective,
    temperature: float,
    kl: float,
    totals: dict[str, float],
) -> None:
    """Add the gradient of rows of similar length, scored as distinct responses to prompts prompt_of (S,)."""
    rollout, rows = batch.rollout, own.numbers
    width = int(rollout.num_actions[rows].max())
    responses, recorded = rollout.responses[rows, :width], rollout.logp[rows, :width]
    mask, weights = rollout.mask[rows, :width], batch.weights[rows]
    distinct = responses.new_empty(len(prompt_of), width).index_copy_(0, own.of, responses)
    logp = log_probs(model, leaves, last, distinct, prompt_of, temperature=temperature)[own.of]
    old = logp.detach() if batch.on_policy else recorded
    loss, clipped = objectives.loss(logp, old, batch.advantages[rows], mask, weights, objective)
    if kl and batch.start_logp is not None:
        start = batch.start_logp[rows, :width]
        divergence = objectives.kl_to_start(logp, old, start, mask, _kl_weights(batch)[rows])
        loss = loss + kl * divergence
        totals["kl"] += float(divergence.detach())
    loss.backward()
    totals["loss"] += float(loss.detach())
    totals["clipped"] += float(clipped)
    totals["tokens"] += float(mask.sum())
    error = ((logp.detach() - recorded).abs() * mask).max()
    totals["error"] = max(totals["error"], float(error))
