"""Device and precision of a measurement, the same for chainlift and its peers, and the peak rate of the machine."""

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
PRODUCTS = {"cpu": 1, "cuda": 50}  # between two readings of the clock, which take longer than a product on a GPU


@dataclass(frozen=True)
class Machine:
    """A device and a precision."""

    device: str = "cpu"
    """cpu or cuda."""
    dtype: str = "float32"
    """float32, or bfloat16 by autocast of the matrix products."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Context manager that sets the precision."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16")

    def for_weights(self, weights: str) -> Machine:
        """The machine for a model with weights of this type: those in bfloat16 need no autocast."""
        return Machine(self.device, "float32") if weights == "bfloat16" else self

    def clock(self) -> float:
        """Seconds of a clock, read after all work on the device has finished."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def pick_device(name: str) -> str:
    """Resolve a device name; auto: cuda if available. ValueError for a device that cannot be timed."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in DEVICES:
        raise ValueError(f"device: {name} is not timed; allowed: auto, {', '.join(DEVICES)}")
    return environment.pick_device(name)


def matmul_rate(machine: Machine, width: int, hidden: int) -> float:
    """Peak operations per second of the product (ROWS, width) by (width, hidden), the MLP's first.

    It is the best of as many tries as SECONDS allow, without the first half, which warms the machine up.
    """
    options = {"dtype": DTYPES[machine.dtype], "device": machine.device}
    left, right = (torch.randn(shape, **options) for shape in ((ROWS, width), (width, hidden)))
    out = torch.empty(ROWS, hidden, **options)
    times: list[float] = []
    with torch.inference_mode():
        started = machine.clock()
        while len(times) < 2 * LEAST_TRIES or times[-1] - started < SECONDS:
            for _ in range(PRODUCTS[machine.device]):
                torch.mm(left, right, out=out)
            times.append(machine.clock())
    awake = times[len(times) // 2 - 1 :]
    best = min(after - before for before, after in itertools.pairwise(awake))
    return 2 * ROWS * width * hidden * PRODUCTS[machine.device] / best
