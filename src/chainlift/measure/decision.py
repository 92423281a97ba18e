"""The two uncertain decisions themselves: how likely the model begins a chain, and how likely it goes on with it.

Which form greedy takes is a yes or no; the probabilities behind it say how far it is from the other one. They are read
off the model's distribution on fresh prompts at temperature 1, with the first token given: nothing is sampled. A short
answer of one token can look like the beginning of a chain, and then the second token decides; where the forms open with
different tokens, the first one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chainlift.models.protocol import Cache, SequenceModel, split_prompts
from chainlift.tasks.base import Task


@torch.no_grad()
def log_odds(model: SequenceModel, task: Task, prompts: Tensor, cache: Cache) -> dict[str, Tensor]:
    """Log-odds (P,), double precision and on the CPU, on prompts (P, T) with the cache of their prefixes, of

    first: the first token of the gold chain, against every other token
    first_lead: the same against the most likely other token alone, which is where greedy changes its mind

    and, where a short answer is a single token,

    go_on: any token but EOS after it
    go_on_elsewhere: the same after the next symbol instead, which begins no chain.
    """
    eos = task.vocabulary.eos
    opening = task.gold(prompts, long=True)[:, :1]
    last, chosen = split_prompts(prompts)[1], opening[:, 0].cpu()
    found = {}
    for name, token in (("go_on", opening), ("go_on_elsewhere", (opening + 1) % eos)):
        logits = model.logits(cache, torch.cat([last, token], dim=1)).cpu().double()  # Apple's GPU has no doubles
        if name == "go_on":
            found["first"] = _against_the_rest(logits[:, 0], chosen)
            found["first_lead"] = _lead(logits[:, 0], chosen)
        if task.short_length > 1:
            break
        found[name] = -_against_the_rest(logits[:, 1], torch.full_like(chosen, eos))
    return found


def describe(chunks: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
    """{n, and of each decision the mean probability, the mean log-odds and their std} over chunks of n prompts."""
    table: dict[str, Any] = {}
    for name in chunks[0]:
        values = torch.cat([chunk[name] for chunk in chunks])
        table["n"] = len(values)
        table[name] = float(values.sigmoid().mean())
        table[f"{name}_log_odds"] = float(values.mean())
        table[f"{name}_log_odds_std"] = float(values.std(correction=0))
    return table


def _against_the_rest(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-odds (N,) of tokens (N,) against all others, from logits (N, V)."""
    own = logits.gather(1, tokens[:, None])
    others = logits.scatter(1, tokens[:, None], -torch.inf)
    return own[:, 0] - others.logsumexp(dim=1)


def _lead(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-odds (N,) of tokens (N,) against the most likely other one, from logits (N, V)."""
    own = logits.gather(1, tokens[:, None])
    return own[:, 0] - logits.scatter(1, tokens[:, None], -torch.inf).amax(dim=1)
