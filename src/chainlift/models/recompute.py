"""Sequences read again from their beginning: for models that cache nothing of a prefix.

The cache of a prefix is its tokens. A decoder keeps the tokens of each row and reads all of them for each further
token, which costs as many passes over the whole sequence as the response has tokens.
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
    """The cache of prefix tokens (P, T): the tokens, in the form of one layer."""
    return [(prefix, prefix[:, :0])]


def join(cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> tuple[Tensor, int]:
    """(sequences (B, T + S), T) of suffix tokens (B, S), where row b continues prefix rows[b] (default: prefix b)."""
    prefix = cache[0][0]
    return torch.cat([prefix if rows is None else prefix[rows], suffix], dim=1), prefix.shape[1]


class RecomputingDecoder:
    """Responses that grow by one token a step, each read from its prompt's first token on."""

    def __init__(self, model: Reader, cache: Cache) -> None:
        self.model, self.sequences = model, cache[0][0]

    def step(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after appending tokens (B,)."""
        self.sequences = torch.cat([self.sequences, tokens[:, None]], dim=1)
        last = self.sequences.shape[1] - 1
        found = [self.model.read(self.sequences[part], last)[:, 0] for part in parts_of(self.sequences)]
        return found[0] if len(found) == 1 else torch.cat(found)

    def spread(self, group_size: int) -> None:
        """Go on with `group_size` rows in place of each."""
        self.sequences = self.sequences.repeat_interleave(group_size, dim=0)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (B',) only."""
        self.sequences = self.sequences[rows]
