"""What is computed on, and in what precision; ours and the peers alike."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from chainlift.runs import environment

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DEVICES = ("cpu", "cuda")


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
