"""What the matrix products of a transformer depend on: the sizes that its operations are counted from."""

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
    """2, or 3 where a gate is among them; each is width x hidden."""
    vocabulary: int
    learned_positions: bool
    """As against rotations."""

    @property
    def projection(self) -> int:
        """Multiplications of a position's queries, keys and values."""
        return self.width * (self.width + 2 * self.kv_width)

    @property
    def after_projection(self) -> int:
        """Multiplications of the rest of a block at a position, attention's own products left out."""
        return self.width * self.width + self.mlp_matrices * self.width * self.hidden
