"""Accuracy and long share of a Markov model as expectations: nothing is sampled from the model.

A Markov model's next token depends only on the prompt and the previous token (as in models/linear.py). So responses to
one prompt are a Markov chain with K states and an end. Expectations follow from its transition matrices, d + 1 of size
K x V a prompt, by passing the distribution of the last token from position to position. This takes d K V operations
instead of a sum over K^d responses. For small d the mean over prompts is exact too (`every_prompt`). Otherwise it is a
mean over fresh prompts of exact conditional probabilities, whose error is far below that of samples.

Shapes: P prompts, R = d + 1 output positions, K digits, V = K + 1 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainlift.models.model import Model
from chainlift.models.protocol import split_prompts
from chainlift.tasks.base import Task

NUMBERS_AT_ONCE = 2**24  # in transition matrices: bounds memory
MAX_ENUMERATED = 4096  # prompts that cost no more than an evaluation


@dataclass(frozen=True)
class Expectations:
    """Expectations over the responses to each of P prompts; fields are (P,), in double precision, on the CPU."""

    accuracy: Tensor
    """Probability that the response ends with the right answer."""
    long: Tensor
    """Probability that the response is longer than the short form."""
    chain: Tensor
    """Probability that the response is the gold chain."""
    finished: Tensor
    """Probability that the response has an EOS."""
    length: Tensor
    """Expected number of tokens before EOS."""


def every_prompt(task: Task) -> Tensor:
    """All prompts (K^d, d) of a task of d independent digits; ValueError above 2^20 of them."""
    modulus = task.vocabulary.size - 1
    count = modulus**task.prompt_length
    if count > 2**20:
        raise ValueError(f"{count} prompts are too many to enumerate; allowed: {2**20}")
    places = modulus ** torch.arange(task.prompt_length)
    return torch.arange(count)[:, None] // places % modulus


@torch.no_grad()
def transitions(model: Model, prompts: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Log-probabilities (P, R, K, V) of each next token after each previous one, in double precision and on the CPU.

    At the first position the previous token is the prompt's last one, so the K rows are equal.
    """
    prefix, last = split_prompts(prompts)
    cache = model.prefill(prefix)
    log_probs = []
    positions = model.context - prompts.shape[1]
    for digit in range(model.vocabulary_size - 1):
        suffix = torch.cat([last, last.new_full((len(last), positions - 1), digit)], dim=1)
        logits = model.logits(cache, suffix).cpu().double()  # Apple's GPU has no doubles
        log_probs.append((logits / temperature).log_softmax(dim=-1))
    return torch.stack(log_probs, dim=2)


def expectations(model: Model, task: Task, prompts: Tensor, *, temperature: float = 1.0) -> Expectations:
    """Expectations over responses sampled at `temperature`, prompt by prompt."""
    numbers_per_prompt = (task.long_length + 1) * task.vocabulary.size**2
    chunks = [
        _of_chunk(model, task, chunk, temperature)
        for chunk in prompts.split(max(NUMBERS_AT_ONCE // numbers_per_prompt, 1))
    ]
    return Expectations(*(torch.cat(fields) for fields in zip(*chunks, strict=True)))


def measure(
    model: Model, task: Task, num_prompts: int, *, generator: torch.Generator, temperature: float = 1.0
) -> dict[str, Any]:
    """{n, enumerated, accuracy, long_share, chain_exactness, ...}: means over n prompts, under the names of samples.

    All prompts are enumerated if there are few. Otherwise `num_prompts` fresh prompts are drawn, and `accuracy_sem` and
    `long_share_sem` are the standard errors over prompts, the only randomness.
    """
    enumerated = (task.vocabulary.size - 1) ** task.prompt_length <= max(num_prompts, MAX_ENUMERATED)
    prompts = every_prompt(task) if enumerated else task.prompts(num_prompts, generator)
    expected = expectations(model, task, prompts.to(next(model.parameters()).device), temperature=temperature)
    n, long_share = len(prompts), float(expected.long.mean())
    table: dict[str, Any] = {
        "n": n,
        "enumerated": enumerated,
        "accuracy": float(expected.accuracy.mean()),
        "long_share": long_share,
        "chain_exactness": float(expected.chain.mean()) / long_share if long_share > 0 else None,
        "length_mean": float(expected.length.mean()),
        "unfinished_share": float(1 - expected.finished.mean()),
    }
    if not enumerated and n > 1:
        table["accuracy_sem"] = float(expected.accuracy.std() / n**0.5)
        table["long_share_sem"] = float(expected.long.std() / n**0.5)
    return table


def _of_chunk(model: Model, task: Task, prompts: Tensor, temperature: float) -> tuple[Tensor, ...]:
    """The fields of Expectations for some prompts."""
    steps = transitions(model, prompts, temperature=temperature).exp()
    eos, gold = task.vocabulary.eos, task.gold(prompts.cpu(), long=True)
    answers = gold[:, -2]
    accuracy, long, chain, finished, length = torch.zeros(5, len(prompts), dtype=steps.dtype)
    alive = steps[:, 0, 0, :eos]  # (P, K): probability of being unfinished with this last token
    on_gold = alive.gather(1, gold[:, :1])[:, 0]
    finished += steps[:, 0, 0, eos]
    for position in range(1, steps.shape[1]):
        ending = alive * steps[:, position, :, eos]  # responses of length `position`
        ended = ending.sum(dim=1)
        accuracy += ending.gather(1, answers[:, None])[:, 0]
        finished += ended
        length += position * ended
        if position > task.short_length:
            long += ended
        after_gold = steps[:, position].gather(1, gold[:, position - 1, None, None].expand(-1, 1, steps.shape[3]))[:, 0]
        on_gold = on_gold * after_gold.gather(1, gold[:, position, None])[:, 0]
        alive = torch.einsum("pk,pkv->pv", alive, steps[:, position, :, :eos])
    chain += on_gold  # the gold response ends with its EOS
    unfinished = alive.sum(dim=1)
    return accuracy, long + unfinished, chain, finished, length + unfinished * steps.shape[1]
