"""Default decoding without a cache of activations: every step reads the whole sequence again.

The cache of a prefix is its tokens. Decoding a response of n tokens takes n passes over the whole sequence.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from chainlift.models.passes import parts_of
from chainlift.models.protocol import Cache


class Reader(Protocol):
    """A model that reads whole sequences."""

    def read(self, sequences: Tensor, start: int) -> Tensor:
        """Logits (B, S - start, V) of whole sequences (B, S) at the positions from `start` on."""
        ...


def keep(prefix: Tensor) -> Cache:
    """The cache of prefix tokens (P, T): the tokens themselves, as a cache of one layer."""
    return Cache([(prefix, prefix[:, :0])])


def join(cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> tuple[Tensor, int]:
    """(sequences (B, T + S), T) from suffix tokens (B, S); row b continues prefix rows[b] (default: prefix b)."""
    prefix = cache.layers[0][0]
    return torch.cat([prefix if rows is None else prefix[rows], suffix], dim=1), prefix.shape[1]


class RecomputingDecoder:
    """A decoder that reads each row from its first token at every step."""

    def __init__(self, model: Reader, cache: Cache) -> None:
        self.model, self.sequences = model, cache.layers[0][0]

    def step(self, tokens: Tensor) -> Tensor:
        """Append tokens (B,) to the rows, and return logits (B, V) of the next token."""
        self.sequences = torch.cat([self.sequences, tokens[:, None]], dim=1)
        last = self.sequences.shape[1] - 1
        logits = [self.model.read(self.sequences[part], last)[:, 0] for part in parts_of(self.sequences)]
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def spread(self, group_size: int) -> None:
        """Repeat each row `group_size` times, side by side."""
        self.sequences = self.sequences.repeat_interleave(group_size, dim=0)

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows (B',) of the batch."""
        self.sequences = self.sequences[rows]
