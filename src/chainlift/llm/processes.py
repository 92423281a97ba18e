"""Several processes that train one model together, as `accelerate launch` starts them; alone, everything is trivial.

All of them read the same data and take the same decisions; only the first one writes to the run folder and speaks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def join() -> None:
    """Meet the other processes, if this one was launched as one of several."""
    if count() > 1 and not torch.distributed.is_initialized():
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())


def count() -> int:
    """Processes that work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This one's number, from 0."""
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def is_first() -> bool:
    """Whether this process writes and speaks for all."""
    return rank() == 0


def wait_for_all() -> None:
    """Return when every process has come to this place."""
    if count() > 1:
        torch.distributed.barrier()


def from_first(value: Item) -> Item:
    """The first process's value, in all of them; it must be picklable."""
    if count() == 1:
        return value
    held: list[Any] = [value]
    torch.distributed.broadcast_object_list(held, src=0)
    return held[0]


def any_of_all(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return any(_gathered(flag)) if count() > 1 else flag


def divided(items: Sequence[Item], work: Callable[[list[Item]], list[Result]]) -> list[Result]:
    """What `work` makes of all items, in their order, each process doing its part of them.

    Parts are filled up to one size with repeated items, as sharded weights need every process in every step.
    """
    if count() == 1:
        return work(list(items))
    size = -(-len(items) // count())
    own = [items[(rank() + i * count()) % len(items)] for i in range(size)]
    parts = _gathered(work(own))
    return [parts[i % count()][i // count()] for i in range(len(items))]


def _gathered(value: Item) -> list[Item]:
    """Every process's value, in all of them."""
    held: list[Any] = [None] * count()
    torch.distributed.all_gather_object(held, value)
    return held
