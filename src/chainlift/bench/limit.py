"""This machine's limit: the best rate at which it multiplies matrices of the size that the work consists of."""

from __future__ import annotations

import itertools

import torch

from chainlift.bench.machine import DTYPES, Machine

ROWS = 8192
SECONDS = 0.2  # spent on a rate, unless it takes longer to multiply LEAST_TRIES times
LEAST_TRIES = 5
PRODUCTS = {"cpu": 1, "cuda": 50}  # between two looks at the clock: on a GPU a look takes longer than a product


def matmul_rate(machine: Machine, width: int, hidden: int) -> float:
    """Operations a second on the product that the MLP goes up by, (ROWS, width) and (width, hidden): the best of as
    many tries as SECONDS allow, the first half of which only wakes the machine.
    """
    options = {"dtype": DTYPES[machine.dtype], "device": machine.device}
    left, right = (torch.randn(shape, **options) for shape in ((ROWS, width), (width, hidden)))
    out = torch.empty(ROWS, hidden, **options)
    found: list[float] = []
    with torch.inference_mode():
        begun = machine.clock()
        while len(found) < 2 * LEAST_TRIES or found[-1] - begun < SECONDS:
            for _ in range(PRODUCTS[machine.device]):
                torch.mm(left, right, out=out)
            found.append(machine.clock())
    awake = found[len(found) // 2 - 1 :]
    best = min(after - before for before, after in itertools.pairwise(awake))
    return 2 * ROWS * width * hidden * PRODUCTS[machine.device] / best
