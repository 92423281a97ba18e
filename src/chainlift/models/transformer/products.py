"""Sizes of a transformer's matrix products, from which its operations are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainlift.models.transformer.blocks import ModelSettings


@dataclass(frozen=True)
class ProductSizes:
    """Sizes of a transformer's matrices."""

    layers: int
    width: int
    kv_width: int
    """Width of the keys, and of the values, over all heads."""
    hidden: int
    """Hidden width of the MLP."""
    mlp_matrices: int
    """2, or 3 with a gate; each is width x hidden."""
    vocabulary: int
    learned_positions: bool
    """Whether positions are embeddings, not rotations."""

    @property
    def projection(self) -> int:
        """Multiplications of a position's queries, keys and values."""
        return self.width * (self.width + 2 * self.kv_width)

    @property
    def after_projection(self) -> int:
        """Multiplications of the rest of a block at a position, without attention's own products."""
        return self.width * self.width + self.mlp_matrices * self.width * self.hidden


def sizes_of(settings: ModelSettings, vocabulary: int) -> ProductSizes:
    """The sizes of the products of a transformer over `vocabulary` tokens."""
    gpt2 = settings.family == "gpt2"
    return ProductSizes(
        layers=settings.layers,
        width=settings.width,
        kv_width=settings.num_kv_heads * (settings.width // settings.heads),
        hidden=settings.hidden_width,
        mlp_matrices=2 if gpt2 else 3,
        vocabulary=vocabulary,
        learned_positions=gpt2,
    )
