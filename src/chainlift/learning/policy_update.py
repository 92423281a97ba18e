"""The gradient of one RL update: prompts read once, responses in buckets of similar length, memory bounded.

Savings that change no gradient: a prompt's keys and values are computed once for its whole
group; equal responses to a prompt are scored once, as their log-probabilities are the same; rows whose advantage is
zero are left out unless a KL term needs them (all means are in the weights already); and the first update after a
rollout takes its own detached log-probabilities as the old ones, since the policy has not changed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from chainlift.learning import objective as objectives
from chainlift.learning.likelihood import MAX_TOKENS, length_buckets, log_probs
from chainlift.learning.presets import Objective
from chainlift.learning.rollout import Rollout
from chainlift.models.protocol import Cache, SequenceModel, split_prompts


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
    needed = (batch.weights != 0) & (batch.advantages != 0)
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
