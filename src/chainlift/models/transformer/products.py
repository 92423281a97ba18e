"""Sizes of a transformer's matrix products, from which its operations are counted."""

from __future__ import annotations

from dataclasses import dataclass


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
