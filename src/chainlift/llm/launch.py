"""Meeting the processes that `accelerate launch` has started beside this one."""

from __future__ import annotations

import torch

from chainlift import processes


def join() -> None:
    """Meet them, if there are any; TRL's trainers then find the same group."""
    if processes.launched() > 1 and not torch.distributed.is_initialized():
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())
