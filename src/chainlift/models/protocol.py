"""What rollout, update and evaluation ask of a model: two ways to read a sequence, and nothing about its inside.

A sequence is split into a *prefix* (every prompt token but the last, no loss is on it) and a *suffix* (the last prompt
token and the response). The logits at a suffix position are those of the next token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor, nn

Cache = Sequence[tuple[Tensor, Tensor]]
"""What a model keeps of P prefixes: a pair of tensors a layer (keys and values), first axis P."""


class Decoder(Protocol):
    """A growing batch of responses, at first one a prefix; rows can become several, and leave."""

    def step(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) of the next token after appending tokens (B,) to the rows."""
        ...

    def spread(self, group_size: int) -> None:
        """Repeat each row `group_size` times, side by side; once, before any row has left."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only: row numbers (B',) of the current batch, in order."""
        ...


class SequenceModel(Protocol):
    """A model of sequences that can share the work on a prefix."""

    def prefill(self, prefix: Tensor) -> Cache:
        """The cache of prefix tokens (P, T); T may be 0."""
        ...

    def logits(self, cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) for suffix tokens (B, S), where row b continues prefix rows[b] (default: prefix b)."""
        ...

    def read(self, sequences: Tensor, start: int) -> Tensor:
        """Logits (B, S - start, V) of whole sequences (B, S) at the positions from `start` on."""
        ...

    def decoder(self, cache: Cache, capacity: int) -> Decoder:
        """A decoder of P rows, one a prefix, for up to `capacity` suffix tokens."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All trainable tensors."""
        ...


def split_prompts(prompts: Tensor) -> tuple[Tensor, Tensor]:
    """(prefix (P, T - 1), last prompt token (P, 1)) of prompts (P, T)."""
    return prompts[:, :-1], prompts[:, -1:]
