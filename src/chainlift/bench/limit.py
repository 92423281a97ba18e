"""This machine's limit: the best rate at which it multiplies matrices of the size that the work consists of."""

from __future__ import annotations

import time

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def matmul_rate(width: int, hidden: int, dtype: str, *, rows: int = 8192, tries: int = 40) -> float:
    """Operations a second on the product that the MLP goes up by: the best of many, after as many not counted as it
    takes to wake the machine.
    """
    left, right = (torch.randn(shape, dtype=DTYPES[dtype]) for shape in ((rows, width), (width, hidden)))
    out = torch.empty(rows, hidden, dtype=DTYPES[dtype])
    best = float("inf")
    with torch.inference_mode():
        for attempt in range(tries + 5):
            started = time.perf_counter()
            torch.mm(left, right, out=out)
            if attempt >= 5:
                best = min(best, time.perf_counter() - started)
    return 2 * rows * width * hidden / best
