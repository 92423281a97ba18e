"""Which fused attention PyTorch may take on a GPU: none that has to be planned anew for each shape.

On Hopper PyTorch 2.11 and later prefers cuDNN's attention in bfloat16, and cuDNN builds a plan for every new pair of
rows and length, forward and backward: some 50 ms each, where the kernel itself takes a fraction of one. Nearly every
batch here has a shape of its own, as buckets, pieces and rounds have. Flash and memory-efficient attention have no
plans.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_plans() -> Iterator[None]:
    """cuDNN's attention is not taken inside the block; what was allowed before is allowed again after it.

    The backward pass takes the kernel of the forward pass, so the block need only hold the latter.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
