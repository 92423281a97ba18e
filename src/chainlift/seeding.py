"""Named random streams: every random draw comes from a stream with a name that says its purpose.

A stream's seed is a hash of the run's seed, a name and indices, never `seed + step`. Two streams collide only by chance
(2^-63), and a change elsewhere (another model width, an additional evaluation) does not shift a stream's numbers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, name: str, *indices: int) -> int:
    """A 63-bit seed for the stream `name` at `indices`, the same on every machine and Python version."""
    path = "/".join([str(seed), name, *map(str, indices)])
    digest = hashlib.blake2b(path.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def stream(seed: int, name: str, *indices: int) -> torch.Generator:
    """A fresh CPU generator for the stream `name` at `indices`.

    It is on the CPU on every device, so that the data's bytes do not depend on the device.
    """
    import torch  # here, so that theory and records work without importing PyTorch

    return torch.Generator().manual_seed(derive(seed, name, *indices))
