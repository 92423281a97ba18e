"""Sampling of responses: one shared prompt, a KV cache, and finished sequences leave the batch.

What is sampled is exactly what the update scores: softmax of logits / temperature over the whole vocabulary, no
top-k, no top-p, and EOS is an action like any other. Token t of row i is chosen by inverse transform from a uniform
number that belongs to (i, t), so the outcome does not depend on which rows have left the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chainlift.models.protocol import Cache, SequenceModel, split_prompts

COMPACT_BELOW = 0.75  # rows leave the batch once fewer than this share of it is still running: moving has a price


@dataclass(frozen=True)
class Rollout:
    """G responses to each of P prompts, N = P * G rows, neighbours sharing a prompt; R is the longest response."""

    prompts: Tensor
    """(P, T) prompt tokens."""
    rows: Tensor
    """(N,) the prompt of each row."""
    responses: Tensor
    """(N, R) response tokens, EOS from the first EOS on."""
    logp: Tensor
    """(N, R) log-probability of each sampled token under the sampling distribution; 0 on padding."""
    num_actions: Tensor
    """(N,) tokens sampled in the row, EOS included."""
    entropy: Tensor
    """Scalar: mean entropy in nats of the distributions that tokens were drawn from."""

    @property
    def mask(self) -> Tensor:
        """(N, R) bool: True where a token was sampled."""
        return torch.arange(self.responses.shape[1], device=self.rows.device) < self.num_actions[:, None]

    @property
    def row_prompts(self) -> Tensor:
        """(N, T) the prompt of each row, repeated."""
        return self.prompts[self.rows]

    @property
    def num_tokens(self) -> int:
        """Prompt and sampled tokens over all rows."""
        return len(self.rows) * self.prompts.shape[1] + int(self.num_actions.sum())


@torch.no_grad()
def sample(
    model: SequenceModel,
    prompts: Tensor,
    *,
    eos: int,
    max_tokens: int,
    group_size: int = 1,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    cache: Cache | None = None,
    among: tuple[int, int] | None = None,
) -> Rollout:
    """Responses of at most `max_tokens` tokens to prompts (P, T), `group_size` each; greedy without a generator.

    cache: the prompts' own, where it has been computed already; it is only read. among (start, total): the prompts are
    number `start` and the following ones of `total`, and get the random numbers that they would get among all.
    """
    prefix, last = split_prompts(prompts)
    decoder = model.decoder(model.prefill(prefix) if cache is None else cache, group_size, max_tokens)
    rows = torch.arange(len(prompts), device=prompts.device).repeat_interleave(group_size)
    num_rows = len(rows)
    uniform = None
    if generator is not None:
        start, total = (0, len(prompts)) if among is None else among
        uniform = torch.rand(total * group_size, max_tokens, generator=generator)
        uniform = uniform[start * group_size :][:num_rows].to(prompts.device)
    responses = torch.full((num_rows, max_tokens), eos, device=prompts.device)
    logp = torch.zeros(num_rows, max_tokens, device=prompts.device)
    num_actions = torch.zeros(num_rows, dtype=torch.long, device=prompts.device)
    entropy_sum = torch.zeros((), device=prompts.device)

    batch = torch.arange(num_rows, device=prompts.device)  # the rows in the decoder
    running = torch.ones(num_rows, dtype=torch.bool, device=prompts.device)  # and which of them have not ended
    tokens = last[rows, 0]
    for t in range(max_tokens):
        log_probs = (decoder.step(tokens).float() / temperature).log_softmax(dim=-1)
        tokens = _choose(log_probs, None if uniform is None else uniform[batch, t])
        chosen = log_probs.gather(1, tokens[:, None])[:, 0]
        entropy_sum += -(log_probs.exp() * log_probs).sum(dim=-1)[running].sum()
        responses[batch[running], t] = tokens[running]
        logp[batch[running], t] = chosen[running]
        num_actions[batch[running]] = t + 1
        running &= tokens != eos
        num_running = int(running.sum())
        if num_running == 0:
            break
        if num_running < COMPACT_BELOW * len(batch):
            kept = running.nonzero()[:, 0]
            decoder.keep(kept)
            batch, tokens, running = batch[kept], tokens[kept], running[kept]
    longest = int(num_actions.max())
    return Rollout(
        prompts=prompts,
        rows=rows,
        responses=responses[:, :longest],
        logp=logp[:, :longest],
        num_actions=num_actions,
        entropy=entropy_sum / num_actions.sum(),
    )


def _choose(log_probs: Tensor, uniform: Tensor | None) -> Tensor:
    """Tokens (B,) from log-probabilities (B, V): the most likely ones, or by inverse transform of uniform (B,)."""
    if uniform is None:
        return log_probs.argmax(dim=-1)
    below = log_probs.exp().cumsum(dim=-1) <= uniform[:, None]
    return below.sum(dim=-1).clamp(max=log_probs.shape[1] - 1)


def join(rollouts: Sequence[Rollout], eos: int) -> Rollout:
    """One rollout of all prompts and rows, shorter responses padded with EOS."""
    if len(rollouts) == 1:
        return rollouts[0]
    longest = max(rollout.responses.shape[1] for rollout in rollouts)
    counts = torch.tensor([len(rollout.prompts) for rollout in rollouts])
    starts = (counts.cumsum(0) - counts).tolist()
    num_actions = torch.cat([rollout.num_actions for rollout in rollouts])
    entropy = sum(float(rollout.entropy * rollout.num_actions.sum()) for rollout in rollouts)

    def padded(x: Tensor, value: float) -> Tensor:
        return torch.nn.functional.pad(x, (0, longest - x.shape[1]), value=value)

    return Rollout(
        prompts=torch.cat([rollout.prompts for rollout in rollouts]),
        rows=torch.cat([rollout.rows + start for rollout, start in zip(rollouts, starts, strict=True)]),
        responses=torch.cat([padded(rollout.responses, eos) for rollout in rollouts]),
        logp=torch.cat([padded(rollout.logp, 0.0) for rollout in rollouts]),
        num_actions=num_actions,
        entropy=torch.tensor(entropy) / num_actions.sum().cpu(),
    )


def take_groups(rollout: Rollout, groups: Tensor) -> Rollout:
    """The rollout of the prompts `groups` (P',) only, with all their samples; the entropy stays that of all samples."""
    group_size = len(rollout.rows) // len(rollout.prompts)
    rows = (groups[:, None] * group_size + torch.arange(group_size, device=groups.device)).flatten()
    longest = int(rollout.num_actions[rows].max())
    return Rollout(
        prompts=rollout.prompts[groups],
        rows=torch.arange(len(groups), device=groups.device).repeat_interleave(group_size),
        responses=rollout.responses[rows, :longest],
        logp=rollout.logp[rows, :longest],
        num_actions=rollout.num_actions[rows],
        entropy=rollout.entropy,
    )
