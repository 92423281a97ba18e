"""Named random streams: every random draw says what it is for.

A stream is found by hashing the run's seed, a name and indices, never by `seed + step`, so two streams collide
only by chance (2^-63), and nothing that happens elsewhere (another model width, one evaluation more) can shift
the numbers that a stream gives.
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

    It lives on the CPU whatever the device of the run, so that the data's bytes do not depend on the device.
    """
    import torch  # imported here so that theory and records can be used without torch

    return torch.Generator().manual_seed(derive(seed, name, *indices))
