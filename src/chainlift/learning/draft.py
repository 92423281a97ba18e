"""A guess at what will be sampled, read in one pass: it changes the time and nothing else.

Speculative decoding (Leviathan et al. 2023, arXiv 2211.17192) with a guess in place of a smaller model. As each token's
uniform number is drawn beforehand, a guess is right if and only if that number chooses it.

Shapes: N rows of the rollout, B of them at hand, P prompts of T tokens, R tokens of a guess, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from chainlift.learning.likelihood import MAX_TOKENS
from chainlift.learning.response_buffer import ResponseBuffer, inverse_cdf_sample
from chainlift.models.protocol import Cache, SequenceModel

PROBE = 32  # contexts on which a draft is tried first
WORTH_IT = 0.5  # share of the guessed tokens that must be of use, on average, for further guesses to be read

Resume = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Draft:
    """A guess at the response to each prompt."""

    responses: Tensor
    """(P, R) one guess a prompt, EOS at its end and behind it."""
    start: int
    """Tokens, at least 1, that are sampled one by one before the guess is tried: by then short responses have ended."""
    resume: Resume | None = None
    """Of (prompts (B, T), responses (B, R), at (B,)) guesses (B, R) at how responses go on that left an earlier guess
    with their token number `at`, counted from 0; what stands behind that token does not count.
    """

    def __post_init__(self) -> None:
        if self.start < 1:
            raise ValueError(f"start must be at least 1, got {self.start}")


@dataclass(frozen=True)
class Sampling:
    """What the draws of a rollout depend on."""

    model: SequenceModel
    cache: Cache
    prompts: Tensor
    """(P, T)."""
    rows: Tensor
    """(N,) the prompt of each row."""
    uniform: Tensor | None
    """(N, R or more) what tokens are drawn with; None: greedy."""
    temperature: float

    def log_probs(self, prompts: Tensor, guess: Tensor) -> Tensor:
        """(B, R, V) of the next token at each position of guess (B, R), which answers prompts numbered (B,), in order.

        Numbers that are all different and as many as there are prompts are those of all prompts.
        """
        rows = None if len(prompts) == len(self.prompts) and bool((prompts.diff() > 0).all()) else prompts
        suffix = torch.cat([self.prompts[prompts, -1:], guess[:, :-1]], dim=1)
        logits = self.model.logits(self.cache, suffix, rows)
        return (logits.float() / self.temperature).log_softmax(dim=-1)


def verify_drafts(sampling: Sampling, running: Tensor, written: ResponseBuffer, draft: Draft) -> Tensor:
    """Rows (E,), of those `running` (B,), that drafts brought to their end; what they say is written down.

    The others are as they were. A prompt's draft is read once for all its rows that still agree with it, as they have
    one context; rows that left it are read again along a resumed draft each, as long as that is of use.
    """
    guess, after = draft.responses[:, : written.max_tokens], draft.start
    agrees = (written.responses[running, :after] == guess[sampling.rows[running], :after]).all(dim=1)
    own, others = running[agrees], running[~agrees]
    prompts, context = sampling.rows[own].unique_consecutive(return_inverse=True)
    read = _read(sampling, written, draft, _Guesses(own, prompts, context, guess[prompts], torch.full_like(own, after)))
    ended = [read.ended]
    own, at = torch.cat([read.left, others]), torch.cat([read.at, torch.full_like(others, after - 1)])
    responses = torch.cat([read.chosen, written.responses[others, : guess.shape[1]]])
    while draft.resume is not None and read.worth_it and len(own):
        prompts, context = sampling.rows[own], torch.arange(len(own), device=own.device)
        guess = draft.resume(sampling.prompts[prompts], responses, at)
        read = _read(sampling, written, draft, _Guesses(own, prompts, context, guess, at + 1))
        ended.append(read.ended)
        own, responses, at = read.left, read.chosen, read.at
    return torch.cat(ended)


@dataclass(frozen=True)
class _Guesses:
    """What is read in a round: C contexts for B rows."""

    own: Tensor
    """(B,) the rows, in an order in which those of a context are neighbours."""
    prompts: Tensor
    """(C,) the prompt of each context."""
    context: Tensor
    """(B,) the context of each row, not falling."""
    guess: Tensor
    """(C, R)."""
    known: Tensor
    """(B,) tokens of the guess that are the row's already."""


@dataclass(frozen=True)
class _Read:
    """What came of a round."""

    ended: Tensor
    """(E,) rows that ended."""
    left: Tensor
    """(L,) rows that left their guess in another way."""
    chosen: Tensor
    """(L, R) what they draw at each position: theirs up to `at`."""
    at: Tensor
    """(L,) where they left."""
    worth_it: bool
    """Enough of the guesses was of use."""


def _read(sampling: Sampling, written: ResponseBuffer, draft: Draft, guesses: _Guesses) -> _Read:
    """Draw along guesses, and write down the rows that end.

    A few contexts are tried first: where too little of their guesses is of use, the rest is not tried.
    """
    numbers = torch.arange(len(guesses.prompts), device=guesses.own.device)
    at_once = max(MAX_TOKENS // guesses.guess.shape[1], 1)
    parts = [part for part in (numbers[:PROBE], *numbers[PROBE:].split(at_once)) if len(part)]
    ended, left, chosen_by, at = [guesses.own[:0]], [guesses.own[:0]], [guesses.guess[:0]], [guesses.own[:0]]
    worth_it = True
    for part in parts:
        members = (guesses.context >= part[0]) & (guesses.context <= part[-1])
        own, known, place = guesses.own[members], guesses.known[members], guesses.context[members] - part[0]
        log_probs = sampling.log_probs(guesses.prompts[part], guesses.guess[part])[place]
        guess = guesses.guess[part][place]
        uniform = None if sampling.uniform is None else sampling.uniform[own, : guess.shape[1]]
        is_known = torch.arange(guess.shape[1], device=guess.device) < known[:, None]
        chosen = torch.where(is_known, guess, inverse_cdf_sample(log_probs, uniform))
        leaves = ((chosen != guess) | (chosen == written.eos)) & ~is_known
        # The last token whose context is the response itself.
        end = torch.where(leaves.any(dim=1), leaves.long().argmax(dim=1), guess.shape[1] - 1)
        ends = (chosen.gather(1, end[:, None])[:, 0] == written.eos) | (end == written.max_tokens - 1)
        goes_on = leaves.any(dim=1) & ~ends
        start = draft.start
        written.add(own[ends], start, chosen[ends, start:], log_probs[ends, start:], end[ends] + 1 - start)
        ended.append(own[ends])
        left.append(own[goes_on])
        chosen_by.append(chosen[goes_on])
        at.append(end[goes_on])
        of_use = (end - known) / (guess.shape[1] - known).clamp(min=1) * (draft.resume is not None)
        worth_it = float(torch.where(ends, 1.0, of_use * goes_on).mean()) >= WORTH_IT
        if not worth_it:
            break
    return _Read(torch.cat(ended), torch.cat(left), torch.cat(chosen_by), torch.cat(at), worth_it)
