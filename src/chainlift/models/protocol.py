"""Protocol between models and rollout, update and evaluation: reading whole sequences, and decoding token by token.

A sequence is a *prefix* (all prompt tokens but the last; it has no loss) and a *suffix* (the last prompt token and the
response). The logits at a suffix position are those of the next token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Cache:
    """A model's cache of P prefixes."""

    layers: Sequence[KeysValues]
    """A pair of tensors (keys and values) per layer, first axis P."""
    padding: Tensor | None = None
    """(P,) how many columns at the left of each prefix are masked padding; None: none."""


class Decoder(Protocol):
    """A batch of growing responses, initially one per prefix; rows can be repeated and removed."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append tokens (B,) to the rows, and return logits (B, V) of the next token."""
        ...

    def spread(self, group_size: int) -> None:
        """Repeat each row `group_size` times, side by side; once, before any row is removed."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows: indices (B',) into the current batch, in order."""
        ...


class SequenceModel(Protocol):
    """A sequence model that can share a prefix's computation between rows."""

    def prefill(self, prefix: Tensor) -> Cache:
        """The cache of prefix tokens (P, T); T may be 0."""
        ...

    def logits(self, cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) for suffix tokens (B, S), where row b continues prefix rows[b] (default: prefix b)."""
        ...

    def read(self, sequences: Tensor, start: int) -> Tensor:
        """Logits (B, S - start, V) of whole sequences (B, S) at the positions from `start` on."""
        ...

    def suffix_logp(
        self,
        cache: Cache,
        suffix: Tensor,
        targets: Tensor,
        rows: Tensor | None = None,
        mask: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Log-probability (B, S) in float32 of targets (B, S), each as the token that follows suffix (B, S) there.

        The distributions are softmax(logits / temperature). Where `mask` (B, S) is False, any finite number may stand.
        """
        ...

    def read_logp(
        self, sequences: Tensor, start: int, targets: Tensor, mask: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """The same (B, S - start) for whole sequences (B, S), at the positions from `start` on."""
        ...

    @property
    def tokens_per_pass(self) -> int:
        """Most tokens of one pass with gradients, about."""
        ...

    def decoder(self, cache: Cache, capacity: int) -> Decoder:
        """A decoder with P rows, one per prefix, for up to `capacity` suffix tokens."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All trainable tensors."""
        ...


def split_prompts(prompts: Tensor) -> tuple[Tensor, Tensor]:
    """Split prompts (P, T) into prefixes (P, T - 1) and last prompt tokens (P, 1)."""
    return prompts[:, :-1], prompts[:, -1:]
