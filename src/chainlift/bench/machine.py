"""What is computed on, in what precision, and at what rate at best; ours and the peers alike."""

from __future__ import annotations

import itertools
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from chainlift.runs import environment

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DEVICES = ("cpu", "cuda")
ROWS = 8192
SECONDS = 0.2  # spent on a rate, unless it takes longer to multiply LEAST_TRIES times
LEAST_TRIES = 5
PRODUCTS = {"cpu": 1, "cuda": 50}  # between two looks at the clock: on a GPU a look takes longer than a product


@dataclass(frozen=True)
class Machine:
    """A device and a precision."""

    device: str = "cpu"
    """cpu or cuda."""
    dtype: str = "float32"
    """bfloat16: autocast of the matrix products."""

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision inside the block."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16")

    def clock(self) -> float:
        """Seconds of a clock, read when all that was given to the device is done."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def pick_device(name: str) -> str:
    """The device that `name` stands for; auto: cuda where it is there. ValueError for one that is not timed."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in DEVICES:
        raise ValueError(f"device: {name} is not timed; allowed: auto, {', '.join(DEVICES)}")
    return environment.pick_device(name)


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
