"""Probabilities of the two uncertain decisions: to begin a chain, and to go on after its first token.

Greedy decoding shows only which form is likelier; these probabilities also show by how much. They come from the model's
distribution on fresh prompts at temperature 1 after a fixed first token, so nothing is sampled. If a short answer of
one token can look like the beginning of a chain, the second token decides the form. If the forms open with different
tokens, the first token does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chainlift.models.protocol import Cache, SequenceModel, split_prompts
from chainlift.tasks.base import Opens, Task

MAX_LOGITS = 2**26  # in double precision, at once: bounds memory


@torch.no_grad()
def log_odds(model: SequenceModel, task: Task, prompts: Tensor, cache: Cache) -> dict[str, Tensor]:
    """Log-odds (P,) of the decisions on prompts (P, T), in double precision and on the CPU; cache: of their prefixes.

    first: the first token of the gold chain, against all other tokens
    first_lead: the same against the most likely other token alone; greedy decoding changes at 0

    for a task of text whose forms begin with different tokens on all prompts,

    long_opening: the first token of the gold chain, against that of the short answer alone

    and, if a short answer is a single token,

    go_on: any token but EOS after the first token of the gold chain
    go_on_elsewhere: the same after the next symbol but padding instead, which does not begin the chain.
    """
    opening, short = task.gold(prompts, long=True)[:, :1], None
    if isinstance(task, Opens):
        short = task.gold(prompts, long=False)[:, :1]
        short = None if bool((short == opening).any()) else short
    numbers = torch.arange(len(prompts), device=prompts.device)
    parts = numbers.split(max(MAX_LOGITS // (2 * task.vocabulary.size), 1))
    tables = [_of_rows(model, task, prompts, opening, short, cache, part if len(parts) > 1 else None) for part in parts]
    return {name: torch.cat([table[name] for table in tables]) for name in tables[0]}


def _of_rows(
    model: SequenceModel,
    task: Task,
    prompts: Tensor,
    opening: Tensor,
    short: Tensor | None,
    cache: Cache,
    rows: Tensor | None,
) -> dict[str, Tensor]:
    """Log-odds of the decisions on some prompts, numbered (N,); None: all of them.

    opening and short are (P, 1), the first tokens of both forms; short is None if they do not tell the form.
    """
    eos = task.vocabulary.eos
    if rows is not None:
        prompts, opening, short = prompts[rows], opening[rows], None if short is None else short[rows]
    last, chosen = split_prompts(prompts)[1], opening[:, 0].cpu()
    odds = {}
    size, padding = task.vocabulary.size, getattr(task, "padding", None)
    elsewhere = (opening + 1) % size
    for _ in range(2):  # the end of sequence and the padding may be neighbors
        is_special = (elsewhere == eos) | (elsewhere == (eos if padding is None else padding))
        elsewhere = torch.where(is_special, (elsewhere + 1) % size, elsewhere)
    for name, token in (("go_on", opening), ("go_on_elsewhere", elsewhere)):
        suffix = torch.cat([last, token], dim=1)
        logits = model.logits(cache, suffix, rows).cpu().double()  # Apple's GPU has no doubles
        if name == "go_on":
            odds["first"] = _against_the_rest(logits[:, 0], chosen)
            odds["first_lead"] = _lead(logits[:, 0], chosen)
            if short is not None:
                odds["long_opening"] = logits[:, 0].gather(1, opening.cpu()) - logits[:, 0].gather(1, short.cpu())
                odds["long_opening"] = odds["long_opening"][:, 0]
        if task.short_length > 1:
            break
        odds[name] = -_against_the_rest(logits[:, 1], torch.full_like(chosen, eos))
    return odds


def describe(chunks: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
    """{n, and for each decision the mean probability, the mean log-odds and their std} over n prompts in chunks."""
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
    chosen = logits.gather(1, tokens[:, None])
    others = logits.scatter(1, tokens[:, None], -torch.inf)
    return chosen[:, 0] - others.logsumexp(dim=1)


def _lead(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-odds (N,) of tokens (N,) against the most likely other token, from logits (N, V)."""
    chosen = logits.gather(1, tokens[:, None])
    return chosen[:, 0] - logits.scatter(1, tokens[:, None], -torch.inf).amax(dim=1)
