"""Sampling of responses with shared prompts and a KV cache; finished sequences leave the batch.

The sampling distribution is exactly the one that the update scores: softmax of logits / temperature over the whole
vocabulary, without top-k or top-p, and EOS is an action like any other. Token t of row i is chosen by inverse transform
from a uniform number that belongs to (i, t), so the result depends neither on which rows have left the batch nor on a
draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chainlift.learning.draft import Draft, Sampling, verify_drafts
from chainlift.learning.draws import Draws, draw
from chainlift.learning.response_buffer import ResponseBuffer
from chainlift.models.protocol import Cache, SequenceModel, split_prompts

COMPACT_BELOW = 0.75  # rows leave the batch once fewer than this share of it is still running: moving rows takes time
COUNT_EVERY = 8  # tokens between two counts of the running rows, on devices where counting waits for all that is queued
COUNTS_AT_ONCE = ("cpu",)  # the devices where counting does not wait


@dataclass(frozen=True)
class Rollout:
    """G responses to each of P prompts, N = P * G rows, neighbors sharing a prompt; R is the longest response."""

    prompts: Tensor
    """(P, T) prompt tokens."""
    rows: Tensor
    """(N,) the prompt of each row."""
    responses: Tensor
    """(N, R) response tokens, EOS from the first EOS on."""
    logp: Tensor
    """(N, R) log-probability of each sampled token under the sampling distribution; 0 on padding."""
    num_actions: Tensor
    """(N,) sampled tokens of the row, EOS included."""
    entropy: Tensor
    """Scalar: mean entropy in nats of the sampling distributions."""
    prompt_lengths: Tensor | None = None
    """(P,) prompt tokens without padding that the model masks; None: there is no such padding."""

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
        return self.num_prompt_tokens(self.rows) + int(self.num_actions.sum())

    def num_prompt_tokens(self, prompts: Tensor) -> int:
        """Tokens of the prompts with these numbers (N,), without masked padding."""
        if self.prompt_lengths is None:
            return len(prompts) * self.prompts.shape[1]
        return int(self.prompt_lengths[prompts].sum())


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
    draft: Draft | None = None,
    shard: tuple[int, int] | None = None,
) -> Rollout:
    """Sample `group_size` responses of at most `max_tokens` tokens to prompts (P, T); greedy without a generator.

    cache: that of the prompts, if it has been computed already; it is only read. shard (start, total): the prompts are
    number `start` and the following ones of `total`, and get the same random numbers as if all were sampled together.
    """
    prefix, last = split_prompts(prompts)
    cache = model.prefill(prefix) if cache is None else cache
    decoder = model.decoder(cache, max_tokens)
    rows = torch.arange(len(prompts), device=prompts.device).repeat_interleave(group_size)
    uniform = None
    if generator is not None:
        start, total = (0, len(prompts)) if shard is None else shard
        uniform = torch.rand(total * group_size, max_tokens, generator=generator)
        uniform = uniform[start * group_size :][: len(rows)].to(prompts.device)
    buffer = ResponseBuffer(len(rows), max_tokens, eos, prompts.device)
    # A draft that ends before it would be read tells nothing: other prompts' short responses are longer.
    draft = draft if draft is not None and draft.responses.shape[1] > draft.start else None
    verify_at = draft.start if draft is not None else None
    count_every = 1 if prompts.device.type in COUNTS_AT_ONCE else COUNT_EVERY

    batch = torch.arange(len(rows), device=prompts.device)  # the rows in the decoder
    running = torch.ones(len(rows), dtype=torch.bool, device=prompts.device)  # which of them have not ended
    tokens = last[:, 0]  # the first token is drawn from one distribution for all samples of a prompt
    num_prefixes = len(prompts)  # in the decoder, where a group shares one until rows leave
    for t in range(max_tokens):
        if draft is not None and t == verify_at:
            sampling = Sampling(model, cache, prompts, rows, uniform, temperature)
            ended = verify_drafts(sampling, batch[running], buffer, draft)
            running &= ~torch.isin(batch, ended)
        if t % count_every == 0 or t == verify_at:
            num_running = int(running.sum())
            if num_running == 0:
                break
            # Without the rows that leave, prefixes are no longer shared: worth it once the cache has fewer tokens then.
            cached, compacted = num_prefixes * prefix.shape[1] + len(batch) * t, num_running * (prefix.shape[1] + t)
            if num_running < COMPACT_BELOW * len(batch) and compacted < cached:
                kept = running.nonzero()[:, 0]
                decoder.keep(kept)
                num_prefixes = num_running
                batch, tokens, running = batch[kept], tokens[kept], running[kept]
        logits = decoder.step(tokens)
        if t == 0:
            decoder.spread(group_size)
            logits = logits.repeat_interleave(group_size, dim=0)
        draws = draw(logits, None if uniform is None else uniform[batch, t], temperature)
        tokens = draws.tokens
        buffer.add(batch, t, Draws(*(values[:, None] for values in draws)), running.long())
        running &= tokens != eos
    longest = int(buffer.num_actions.max())
    return Rollout(
        prompts=prompts,
        rows=rows,
        responses=buffer.responses[:, :longest],
        logp=buffer.logp[:, :longest],
        num_actions=buffer.num_actions,
        entropy=buffer.entropy_sum / buffer.num_actions.sum(),
    )


def join(rollouts: Sequence[Rollout], eos: int) -> Rollout:
    """Join rollouts into one of all prompts and rows, shorter responses padded with EOS."""
    if len(rollouts) == 1:
        return rollouts[0]
    longest = max(rollout.responses.shape[1] for rollout in rollouts)
    counts = torch.tensor([len(rollout.prompts) for rollout in rollouts])
    starts = (counts.cumsum(0) - counts).tolist()
    num_actions = torch.cat([rollout.num_actions for rollout in rollouts])
    entropy = sum(float(rollout.entropy * rollout.num_actions.sum()) for rollout in rollouts)

    prompt_lengths = [rollout.prompt_lengths for rollout in rollouts if rollout.prompt_lengths is not None]

    def padded(x: Tensor, value: float) -> Tensor:
        return torch.nn.functional.pad(x, (0, longest - x.shape[1]), value=value)

    return Rollout(
        prompts=torch.cat([rollout.prompts for rollout in rollouts]),
        rows=torch.cat([rollout.rows + start for rollout, start in zip(rollouts, starts, strict=True)]),
        responses=torch.cat([padded(rollout.responses, eos) for rollout in rollouts]),
        logp=torch.cat([padded(rollout.logp, 0.0) for rollout in rollouts]),
        num_actions=num_actions,
        entropy=torch.tensor(entropy) / num_actions.sum().cpu(),
        prompt_lengths=torch.cat(prompt_lengths) if prompt_lengths else None,
    )


def take_groups(rollout: Rollout, groups: Tensor) -> Rollout:
    """The rollout of prompts `groups` (P',) with all their samples; the entropy stays that of the whole rollout."""
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
        prompt_lengths=None if rollout.prompt_lengths is None else rollout.prompt_lengths[groups],
    )
