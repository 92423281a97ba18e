"""The gradient of one RL update, with each prompt read once and bounded memory.

Savings that change no gradient:
- A prompt's keys and values are computed once for its whole group.
- Equal responses to a prompt are scored once, as their log-probabilities are equal.
- Rows with advantage zero are left out unless a KL term needs them; all means are in the weights already.
- The first update after a rollout takes its own detached log-probabilities as the old ones, as the policy has not
  changed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from chainlift.learning import objective as objectives
from chainlift.learning.likelihood import length_buckets, log_probs
from chainlift.learning.presets import Objective
from chainlift.learning.rollout import Rollout
from chainlift.models.protocol import Cache, SequenceModel, split_prompts


@dataclass(frozen=True)
class PolicyBatch:
    """Input of one update: rows of a rollout with their advantages (N,) and weights (N,)."""

    rollout: Rollout
    advantages: Tensor
    weights: Tensor
    on_policy: bool
    """Whether the model still has the weights that sampled the rollout."""
    start_logp: Tensor | None = None
    """(N, R) log-probabilities under the start model, for the KL term; null: no KL term."""
    kl_weights: Tensor | None = None
    """(N,) weights of the rows in the KL term; null: `weights`."""
    decision_weights: Tensor | None = None
    """(N,) weights of the rows' first two tokens; null: `weights`."""


def accumulate_gradient(
    model: SequenceModel, batch: PolicyBatch, objective: Objective, *, temperature: float, kl: float = 0.0
) -> dict[str, float | None]:
    """Add the gradient to the parameters' `.grad`; returns the metrics of the update.

    {loss, clip_fraction, scored, logp_error_max, kl, tokens}: clip_fraction is a share of the tokens scored;
    logp_error_max the largest |recomputed - recorded| log-probability, None off policy; tokens counts the prompt and
    response tokens of the rows that were read.
    """
    rollout = batch.rollout
    needed = (batch.weights != 0) & (batch.advantages != 0)
    if kl:
        needed |= _kl_weights(batch) != 0
    selected = needed.nonzero()[:, 0]
    totals = {"loss": 0.0, "clipped": 0.0, "tokens": 0.0, "kl": 0.0, "error": 0.0}
    prompts, prompt_of = rollout.rows[selected].unique(return_inverse=True)
    at_once = max(model.tokens_per_pass // rollout.prompts.shape[1], 1)
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
        "tokens": totals["tokens"] + rollout.num_prompt_tokens(rollout.rows[selected]),
    }


def _kl_weights(batch: PolicyBatch) -> Tensor:
    """(N,) weights of the rows in the KL term."""
    return batch.weights if batch.kl_weights is None else batch.kl_weights


class _Rows(NamedTuple):
    """Some rows of the rollout, n of them."""

    numbers: Tensor
    """(n,) in the rollout."""
    parents: Tensor
    """(n,) index of their prompt, or of their distinct response, in the current chunk."""


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
    """Add the gradient and the totals of the rows of some prompts (P, T)."""
    rollout = batch.rollout
    prefix, last = split_prompts(prompts)
    cache = model.prefill(prefix)
    # Each bucket's backward pass ends at these leaves; the prompts' own backward pass then runs once for all.
    leaves = Cache([(_leaf(key), _leaf(value)) for key, value in cache.layers], cache.padding)
    distinct, distinct_of = _distinct(rollout.responses[rows.numbers], rows.parents)
    for bucket in length_buckets(rollout.num_actions[rows.numbers[distinct]], model.tokens_per_pass):
        place = torch.full_like(distinct, -1)
        place[bucket] = torch.arange(len(bucket), device=place.device)
        members = (place[distinct_of] >= 0).nonzero()[:, 0]
        bucket_rows = _Rows(rows.numbers[members], place[distinct_of[members]])
        prompt_of = rows.parents[distinct[bucket]]
        _bucket_backward(model, leaves, last, prompt_of, batch, bucket_rows, objective, temperature, kl, totals)
    pairs = zip(itertools.chain.from_iterable(cache.layers), itertools.chain.from_iterable(leaves.layers), strict=True)
    reached = [(t, leaf.grad) for t, leaf in pairs if leaf.grad is not None]
    if reached:
        torch.autograd.backward([t for t, _ in reached], [grad for _, grad in reached])


def _distinct(responses: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """(numbers (S,) of rows with distinct responses (N, R) to prompts (N,), index (N,) of each row among them)."""
    numbers = torch.arange(len(responses), device=responses.device)
    pairs = torch.cat([prompts[:, None], responses], dim=1)
    distinct, index = pairs.unique(dim=0, return_inverse=True)
    return numbers.new_empty(len(distinct)).index_copy_(0, index, numbers), index


def _leaf(tensor: Tensor) -> Tensor:
    """The tensor detached from its graph, as a leaf that collects a gradient."""
    return tensor.detach().requires_grad_(tensor.requires_grad)


def _bucket_backward(
    model: SequenceModel,
    leaves: Cache,
    last: Tensor,
    prompt_of: Tensor,
    batch: PolicyBatch,
    bucket: _Rows,
    objective: Objective,
    temperature: float,
    kl: float,
    totals: dict[str, float],
) -> None:
    """Add the gradient of rows of similar length, scored as distinct responses to prompts prompt_of (S,)."""
    rollout, rows = batch.rollout, bucket.numbers
    width = int(rollout.num_actions[rows].max())
    responses, recorded = rollout.responses[rows, :width], rollout.logp[rows, :width]
    mask, decisions = rollout.mask[rows, :width], batch.decision_weights
    weights = objectives.token_weights(batch.weights[rows], None if decisions is None else decisions[rows], width)
    distinct = responses.new_empty(len(prompt_of), width).index_copy_(0, bucket.parents, responses)
    read = torch.zeros_like(distinct, dtype=torch.bool).index_copy_(0, bucket.parents, mask)
    scored = log_probs(model, leaves, last, distinct, prompt_of, mask=read, temperature=temperature)
    logp = scored[bucket.parents]
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
