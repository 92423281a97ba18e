"""Choice of the fused attention kernel on a GPU: none that plans anew for each shape.

On Hopper PyTorch 2.11 and later prefers cuDNN's attention in bfloat16, and cuDNN builds a plan for every new pair of
rows and length, forward and backward. A plan takes some 50 ms, the kernel itself less than 1 ms. Nearly every batch of
this engine has a new shape. Flash and memory-efficient attention have no plans.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_plans() -> Iterator[None]:
    """Disable cuDNN's attention inside the block.

    The backward pass takes the kernel of the forward pass, so the block need only contain the latter.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
