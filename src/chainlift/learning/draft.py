"""Drafts of responses, verified in one forward pass: they change the time of sampling, not its result.

Speculative decoding (Leviathan et al. 2023, arXiv 2211.17192) with drafts by the task, not by a smaller model. As each
token's uniform number is drawn beforehand, a drafted token is right if and only if that number chooses it.

Shapes: N rows of the rollout, B of them selected, P prompts of T tokens, R tokens of a draft, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from chainlift.learning.draws import Draws, inverse_cdf_sample, logp_and_entropy
from chainlift.learning.response_buffer import ResponseBuffer
from chainlift.models.passes import MAX_TOKENS
from chainlift.models.protocol import Cache, SequenceModel

PROBE = 32  # contexts on which drafts are verified first
WORTH_IT = 0.5  # mean share of drafted tokens that must be accepted for further drafts to be verified

Resume = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Draft:
    """A drafted response to each prompt."""

    responses: Tensor
    """(P, R) one response a prompt, padded with EOS."""
    start: int
    """Tokens, at least 1, to sample one by one before drafts are verified: by then short responses have ended."""
    resume: Resume | None = None
    """New drafts (B, R) from (prompts (B, T), responses (B, R), at (B,)), for responses that left the last draft at
    token `at`, counted from 0; tokens after that one are ignored."""

    def __post_init__(self) -> None:
        if self.start < 1:
            raise ValueError(f"start must be at least 1, got {self.start}")


@dataclass(frozen=True)
class Sampling:
    """All that the sampled tokens of a rollout depend on."""

    model: SequenceModel
    cache: Cache
    prompts: Tensor
    """(P, T)."""
    rows: Tensor
    """(N,) the prompt of each row."""
    uniform: Tensor | None
    """(N, R or more) the uniform number of each token; None: greedy."""
    temperature: float

    def log_probs(self, prompts: Tensor, drafts: Tensor) -> Tensor:
        """Log-probabilities (B, R, V) at each position of drafts (B, R) that answer prompts numbered (B,), ascending.

        Numbers that are all different and as many as the prompts name all prompts.
        """
        rows = None if len(prompts) == len(self.prompts) and bool((prompts.diff() > 0).all()) else prompts
        suffix = torch.cat([self.prompts[prompts, -1:], drafts[:, :-1]], dim=1)
        logits = self.model.logits(self.cache, suffix, rows)
        return (logits.float() / self.temperature).log_softmax(dim=-1)


def verify_drafts(sampling: Sampling, running: Tensor, buffer: ResponseBuffer, draft: Draft) -> Tensor:
    """Write the responses that end along drafts to the buffer; returns their rows (E,), of those `running` (B,).

    The other rows stay as they were. A prompt's draft is read once for all its rows that still agree with it, as they
    share a context. Each row that left it is read again along a resumed draft, as long as enough tokens are accepted.
    """
    drafts, start = draft.responses[:, : buffer.max_tokens], draft.start
    agrees = (buffer.responses[running, :start] == drafts[sampling.rows[running], :start]).all(dim=1)
    rows, others = running[agrees], running[~agrees]
    prompts, context = sampling.rows[rows].unique_consecutive(return_inverse=True)
    num_fixed = torch.full_like(rows, start)
    verified = _verify(sampling, buffer, draft, _Drafts(rows, prompts, context, drafts[prompts], num_fixed))
    ended = [verified.ended]
    rows, at = torch.cat([verified.left, others]), torch.cat([verified.at, torch.full_like(others, start - 1)])
    responses = torch.cat([verified.sampled, buffer.responses[others, : drafts.shape[1]]])
    while draft.resume is not None and verified.worth_it and len(rows):
        prompts, context = sampling.rows[rows], torch.arange(len(rows), device=rows.device)
        drafts = draft.resume(sampling.prompts[prompts], responses, at)
        verified = _verify(sampling, buffer, draft, _Drafts(rows, prompts, context, drafts, at + 1))
        ended.append(verified.ended)
        rows, responses, at = verified.left, verified.sampled, verified.at
    return torch.cat(ended)


@dataclass(frozen=True)
class _Drafts:
    """Drafts of one round: C contexts for B rows."""

    rows: Tensor
    """(B,) rows of the rollout; those of one context are neighbors."""
    prompts: Tensor
    """(C,) the prompt of each context."""
    context: Tensor
    """(B,) the context of each row, ascending."""
    tokens: Tensor
    """(C, R)."""
    num_fixed: Tensor
    """(B,) first tokens of the draft that the row has sampled already."""


@dataclass(frozen=True)
class _Verified:
    """Results of one round."""

    ended: Tensor
    """(E,) rows that ended."""
    left: Tensor
    """(L,) rows that left their draft and go on."""
    sampled: Tensor
    """(L, R) tokens that they sample at each position, valid up to `at`."""
    at: Tensor
    """(L,) positions at which they left."""
    worth_it: bool
    """Whether enough drafted tokens were accepted."""


def _verify(sampling: Sampling, buffer: ResponseBuffer, draft: Draft, drafts: _Drafts) -> _Verified:
    """Sample along drafts, and write the rows that end to the buffer.

    A few contexts are verified first: if too few of their tokens are accepted, the rest is left out.
    """
    numbers = torch.arange(len(drafts.prompts), device=drafts.rows.device)
    at_once = max(MAX_TOKENS // drafts.tokens.shape[1], 1)
    parts = [part for part in (numbers[:PROBE], *numbers[PROBE:].split(at_once)) if len(part)]
    ended, left, sampled_parts, at = [drafts.rows[:0]], [drafts.rows[:0]], [drafts.tokens[:0]], [drafts.rows[:0]]
    worth_it = True
    for part in parts:
        members = (drafts.context >= part[0]) & (drafts.context <= part[-1])
        rows, num_fixed, place = drafts.rows[members], drafts.num_fixed[members], drafts.context[members] - part[0]
        log_probs = sampling.log_probs(drafts.prompts[part], drafts.tokens[part])[place]
        drafted = drafts.tokens[part][place]
        uniform = None if sampling.uniform is None else sampling.uniform[rows, : drafted.shape[1]]
        is_fixed = torch.arange(drafted.shape[1], device=drafted.device) < num_fixed[:, None]
        sampled = torch.where(is_fixed, drafted, inverse_cdf_sample(log_probs, uniform))
        leaves = ((sampled != drafted) | (sampled == buffer.eos)) & ~is_fixed
        # The last token whose context is the response itself.
        end = torch.where(leaves.any(dim=1), leaves.long().argmax(dim=1), drafted.shape[1] - 1)
        ends = (sampled.gather(1, end[:, None])[:, 0] == buffer.eos) | (end == buffer.max_tokens - 1)
        goes_on = leaves.any(dim=1) & ~ends
        start = draft.start
        tokens = sampled[ends, start:]
        draws = Draws(tokens, *logp_and_entropy(log_probs[ends, start:], tokens))
        buffer.add(rows[ends], start, draws, end[ends] + 1 - start)
        ended.append(rows[ends])
        left.append(rows[goes_on])
        sampled_parts.append(sampled[goes_on])
        at.append(end[goes_on])
        accepted = (end - num_fixed) / (drafted.shape[1] - num_fixed).clamp(min=1) * (draft.resume is not None)
        worth_it = float(torch.where(ends, 1.0, accepted * goes_on).mean()) >= WORTH_IT
        if not worth_it:
            break
    return _Verified(torch.cat(ended), torch.cat(left), torch.cat(sampled_parts), torch.cat(at), worth_it)
