"""Split a batch into forward passes of bounded size."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_TOKENS = 8192  # tokens of one forward pass with gradients: bounds memory, keeps activations near the caches
TOKENS_PER_PASS = {"cpu": 2**11}  # tokens of a pass without gradients: bounds memory, fits a CPU's caches
TOKENS_PER_PASS_ON_GPU = 2**17


def parts_of(tokens: Tensor) -> list[slice]:
    """Slices of the rows of tokens (B, S), one per forward pass; a single slice while gradients are enabled."""
    rows = max(TOKENS_PER_PASS.get(tokens.device.type, TOKENS_PER_PASS_ON_GPU) // max(tokens.shape[1], 1), 1)
    if torch.is_grad_enabled() or len(tokens) <= rows:
        return [slice(None)]
    return [slice(start, start + rows) for start in range(0, len(tokens), rows)]
