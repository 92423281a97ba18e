"""This machine's limit: the matrix products that stage 1 cannot do without, at the best rate that it multiplies."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from chainlift.models.transformer import Transformer
from chainlift.tasks.base import Task


def seconds(action: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def needed_flops(task: Task, model: Transformer, batch_size: int, p_cot: float) -> float:
    """Operations that an update of stage 1 cannot do without: matrix products only, backward twice forward."""
    settings = model.settings
    per_block = sum(p.numel() for p in model.layers[0].parameters() if p.dim() == 2)
    keys_values = 2 * settings.width * settings.num_kv_heads * (settings.width // settings.heads)
    prefix, p = task.prompt_length - 1, p_cot
    suffix = p * (task.long_length + 1) + (1 - p) * (task.short_length + 1)
    products = prefix * ((settings.layers - 1) * per_block + keys_values) + suffix * settings.layers * per_block
    return 3 * 2 * batch_size * products


def matmul_rate(width: int, rows: int = 8192) -> float:
    """This machine's best float32 rate (operations a second) on the product that the MLP spends its time in."""
    left, right = torch.randn(rows, width), torch.randn(width, 4 * width)
    best = min(seconds(lambda: left @ right) for _ in range(30))
    return 2 * rows * width * 4 * width / best
