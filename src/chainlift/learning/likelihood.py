"""Log-probabilities of given responses, with shared prompts and little padding.

Prompts are read once as prefixes, responses as suffixes in buckets of similar length.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from chainlift.models.protocol import Cache, SequenceModel

MAX_TOKENS = 8192  # tokens of one forward pass with gradients: bounds memory, keeps activations near the caches


def log_probs(
    model: SequenceModel,
    cache: Cache,
    last: Tensor,
    responses: Tensor,
    rows: Tensor | None = None,
    *,
    temperature: float = 1.0,
) -> Tensor:
    """Log-probability (B, R) in nats of each token of responses (B, R) under softmax(logits / temperature).

    `cache` and `last` (P, 1) are the two halves of the prompts (models/protocol.py); row b answers prompt rows[b].
    """
    first = last if rows is None else last[rows]
    suffix = torch.cat([first, responses[:, :-1]], dim=1)
    return token_logp(model.logits(cache, suffix, rows), responses, temperature)


def token_logp(logits: Tensor, responses: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability (B, R) in nats of responses (B, R) under softmax(logits / temperature), logits (B, R, V)."""
    logits = logits.float()
    if temperature != 1.0:
        logits = logits / temperature
    return -F.cross_entropy(logits.flatten(0, 1), responses.flatten(), reduction="none").view_as(responses)


def length_buckets(lengths: Tensor, max_tokens: int) -> Iterator[Tensor]:
    """Row numbers (b,) in buckets: at most one power of two of lengths each, and at most about `max_tokens` tokens.

    Every row of lengths (N,) is in exactly one bucket. Rows keep their order inside a bucket, so neighbors that
    share a prompt stay together.
    """
    octave = torch.log2(lengths.float()).ceil().long()
    for value in octave.unique().tolist():
        members = (octave == value).nonzero()[:, 0]
        batch_rows = max(max_tokens // int(lengths[members].max()), 1)
        yield from members.split(batch_rows)
