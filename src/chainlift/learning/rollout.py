"""Sampling of responses: one shared prompt, a KV cache, and finished sequences leave the batch.

What is sampled is exactly what the update scores: softmax of logits / temperature over the whole vocabulary, no
top-k, no top-p, and EOS is an action like any other. Token t of row i is chosen by inverse transform from a uniform
number that belongs to (i, t), so the outcome depends neither on which rows have left the batch nor on a draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chainlift.learning.likelihood import MAX_TOKENS
from chainlift.models import savings
from chainlift.models.protocol import Cache, SequenceModel, split_prompts

COMPACT_BELOW = 0.75  # rows leave the batch once fewer than this share of it is still running: moving has a price
COUNT_EVERY = 8  # tokens between two looks at how many rows run, on devices where a look waits for all that is queued
COUNTS_AT_ONCE = ("cpu",)  # the devices where it does not
PROBE = 32  # contexts on which a draft is tried first


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


@dataclass(frozen=True)
class Draft:
    """A guess at the responses: where it is right they are read in one pass, and it never changes what is sampled.

    Speculative decoding (Leviathan et al. 2023, arXiv 2211.17192) with a guess in place of a smaller model. As each
    token's uniform number is drawn beforehand, a guess is right if and only if that number chooses it.
    """

    responses: Tensor
    """(P, R) one guess a prompt, EOS at its end and behind it."""
    after: int
    """Tokens, at least 1, that are sampled one by one before the guess is tried: by then short responses have ended."""

    def __post_init__(self) -> None:
        if self.after < 1:
            raise ValueError(f"after must be at least 1, got {self.after}")


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
    among: tuple[int, int] | None = None,
) -> Rollout:
    """Responses of at most `max_tokens` tokens to prompts (P, T), `group_size` each; greedy without a generator.

    cache: the prompts' own, where it has been computed already; it is only read. among (start, total): the prompts are
    number `start` and the following ones of `total`, and get the random numbers that they would get among all.
    """
    prefix, last = split_prompts(prompts)
    cache = model.prefill(prefix) if cache is None else cache
    decoder = model.decoder(cache, max_tokens)
    rows = torch.arange(len(prompts), device=prompts.device).repeat_interleave(group_size)
    uniform = None
    if generator is not None:
        start, total = (0, len(prompts)) if among is None else among
        uniform = torch.rand(total * group_size, max_tokens, generator=generator)
        uniform = uniform[start * group_size :][: len(rows)].to(prompts.device)
    written = _Written(len(rows), max_tokens, eos, prompts.device)
    try_at = draft.after if draft is not None and savings.on("drafts") else None
    count_every = 1 if prompts.device.type in COUNTS_AT_ONCE else COUNT_EVERY

    batch = torch.arange(len(rows), device=prompts.device)  # the rows in the decoder
    running = torch.ones(len(rows), dtype=torch.bool, device=prompts.device)  # and which of them have not ended
    together = savings.on("equal samples")  # the first token is drawn from one distribution for all samples of a prompt
    if not together:
        decoder.spread(group_size)
    tokens = last[:, 0] if together else last[rows, 0]
    for t in range(max_tokens):
        if draft is not None and t == try_at:
            ended = follow(model, cache, last, rows, batch[running], written, draft, uniform, temperature)
            running &= ~torch.isin(batch, ended)
        if t % count_every == 0 or t == try_at:
            num_running = int(running.sum())
            if num_running == 0:
                break
            if num_running < COMPACT_BELOW * len(batch) and savings.on("compaction"):
                kept = running.nonzero()[:, 0]
                decoder.keep(kept)
                batch, tokens, running = batch[kept], tokens[kept], running[kept]
        log_probs = (decoder.step(tokens).float() / temperature).log_softmax(dim=-1)
        if t == 0 and together:
            decoder.spread(group_size)
            log_probs = log_probs.repeat_interleave(group_size, dim=0)
        tokens = _choose(log_probs, None if uniform is None else uniform[batch, t])
        written.add(batch, t, tokens[:, None], log_probs[:, None], running.long())
        running &= tokens != eos
    longest = int(written.num_actions.max())
    return Rollout(
        prompts=prompts,
        rows=rows,
        responses=written.responses[:, :longest],
        logp=written.logp[:, :longest],
        num_actions=written.num_actions,
        entropy=written.entropy_sum / written.num_actions.sum(),
    )


def follow(
    model: SequenceModel,
    cache: Cache,
    last: Tensor,
    rows: Tensor,
    running: Tensor,
    written: _Written,
    draft: Draft,
    uniform: Tensor | None,
    temperature: float,
) -> Tensor:
    """Rows (E,), of those `running` (B,), that the draft brought to their end; what they say is written down.

    The others are as they were. A prompt's draft is read once for all its rows, which still agree with it and so have
    one context. A few contexts are tried first: where most rows leave the draft, the rest is not tried.
    """
    guess = draft.responses[:, : written.responses.shape[1]]
    agrees = (written.responses[running, : draft.after] == guess[rows[running], : draft.after]).all(dim=1)
    running = running[agrees]
    prompts, context = rows[running], torch.arange(len(running), device=running.device)
    if savings.on("equal samples"):
        prompts, context = prompts.unique_consecutive(return_inverse=True)
    ended = [running[:0]]
    first, rest = prompts[:PROBE], prompts[PROBE:]
    start = 0
    for asked in (first, *rest.split(max(MAX_TOKENS // guess.shape[1], 1))):
        members = (context >= start) & (context < start + len(asked))
        own, place = running[members], context[members] - start
        start += len(asked)
        if not len(own):
            break
        suffix = torch.cat([last[asked], guess[asked, :-1]], dim=1)
        logits = model.logits(cache, suffix, asked)[:, draft.after :]
        log_probs = (logits.float() / temperature).log_softmax(dim=-1)[place]
        chosen = _choose(log_probs, None if uniform is None else uniform[own, draft.after : guess.shape[1]])
        leaves = (chosen != guess[asked, draft.after :][place]) | (chosen == written.eos)
        end = leaves.long().argmax(dim=1)  # the last token whose context is the response itself
        ends = leaves.any(dim=1) & (chosen.gather(1, end[:, None])[:, 0] == written.eos)
        written.add(own[ends], draft.after, chosen[ends], log_probs[ends], end[ends] + 1)
        ended.append(own[ends])
        if 2 * len(ended[-1]) < len(own):
            break
    return torch.cat(ended)


class _Written:
    """What has been sampled so far, row by row."""

    def __init__(self, num_rows: int, max_tokens: int, eos: int, device: torch.device) -> None:
        self.eos = eos
        self.responses = torch.full((num_rows, max_tokens), eos, device=device)
        self.logp = torch.zeros(num_rows, max_tokens, device=device)
        self.num_actions = torch.zeros(num_rows, dtype=torch.long, device=device)
        self.entropy_sum = torch.zeros((), device=device)

    def add(self, rows: Tensor, start: int, tokens: Tensor, log_probs: Tensor, counts: Tensor) -> None:
        """Append to each of rows (B,), from position `start` on, the first counts (B,) of tokens (B, S) that were drawn
        from log_probs (B, S, V). Nothing here waits for the device.
        """
        places = slice(start, start + tokens.shape[1])
        mask = torch.arange(tokens.shape[1], device=rows.device) < counts[:, None]
        logp = log_probs.gather(2, tokens[:, :, None])[:, :, 0]
        self.responses[rows, places] = torch.where(mask, tokens, self.responses[rows, places])
        self.logp[rows, places] = torch.where(mask, logp, self.logp[rows, places])
        self.num_actions[rows] += counts
        self.entropy_sum -= ((log_probs.exp() * log_probs).sum(dim=-1) * mask).sum()


def _choose(log_probs: Tensor, uniform: Tensor | None) -> Tensor:
    """Tokens (...) from log-probabilities (..., V): the most likely ones, or by inverse transform of uniform (...)."""
    if uniform is None:
        return log_probs.argmax(dim=-1)
    below = log_probs.exp().cumsum(dim=-1) <= uniform[..., None]
    return below.sum(dim=-1).clamp(max=log_probs.shape[-1] - 1)


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
