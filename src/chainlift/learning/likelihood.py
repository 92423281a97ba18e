"""Log-probabilities of given responses, with shared prompts and little padding.

Prompts are read once as prefixes, responses as suffixes in buckets of similar length.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from chainlift.models.protocol import Cache, SequenceModel


def log_probs(
    model: SequenceModel,
    cache: Cache,
    last: Tensor,
    responses: Tensor,
    rows: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Log-probability (B, R) in nats of each token of responses (B, R) under softmax(logits / temperature).

    `cache` and `last` (P, 1) are the two halves of the prompts (models/protocol.py); row b answers prompt rows[b].
    Where `mask` (B, R) is False, any finite number may stand.
    """
    first = last if rows is None else last[rows]
    suffix = torch.cat([first, responses[:, :-1]], dim=1)
    return model.suffix_logp(cache, suffix, responses, rows, mask, temperature)


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
