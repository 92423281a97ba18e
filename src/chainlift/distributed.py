"""Several processes that train one model together, as torchrun or accelerate start them; alone, everything is trivial.

All of them draw the same data from the same named streams and take the same decisions, each works on its share, and
only the first one reads and writes the run folder and speaks. Every function below that compares or adds up must be
called by all of them, in the same order; the others' values come back as CPU objects.

If one of them ends early, the others' next call raises `PeerLost`, and the launcher ends them.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from chainlift.launcher import is_rank0 as is_rank0
from chainlift.launcher import launched as launched
from chainlift.launcher import local_count as local_count
from chainlift.launcher import local_rank as local_rank
from chainlift.launcher import rank as rank

Item = TypeVar("Item")
Result = TypeVar("Result")


class PeerLost(Exception):
    """Another of the processes has ended, or cannot be reached."""


def join(device: torch.device) -> None:
    """Meet the other processes, if this one was launched as one of several; tensors of `device` can be added up then.

    ValueError where several processes cannot share work on such a device.
    """
    if launched() == 1 or torch.distributed.is_initialized():
        return
    if device.type == "mps":
        raise ValueError("device: several processes need cuda or cpu, not mps")
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    with _together():
        store, own, all_of_them = next(iter(rendezvous("env://")))
        # Started anew by torchrun, they would find the addresses of those that died in the same place.
        store = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        torch.distributed.init_process_group(backend, store=store, rank=own, world_size=all_of_them)
    atexit.register(_leave)


def world_size() -> int:
    """Processes that work together."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def barrier() -> None:
    """Return when every process has come to this place."""
    any_rank(False)


def broadcast(value: Item) -> Item:
    """The first process's value, in all of them; it must be picklable."""
    return run_on_rank0(lambda: value)


def run_on_rank0(work: Callable[[], Result]) -> Result:
    """What `work` returns in the first process, the only one that calls it; what it raises is raised in all."""
    if world_size() == 1:
        return work()
    held: list[Any] = [None]
    if is_rank0():
        try:
            held = [(work(), None)]
        except Exception as error:
            held = [(None, error)]
    with _together():
        torch.distributed.broadcast_object_list(held, src=0)
    found, error = held[0]
    if error is not None:
        raise error
    return found


def any_rank(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    if world_size() == 1:
        return flag
    number = torch.tensor(int(flag), device=_device())
    with _together():
        torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
    return bool(number)


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The tensor, overwritten by the sum over processes: the same bits in each of them."""
    if world_size() > 1:
        with _together():
            torch.distributed.all_reduce(tensor)
    return tensor


def all_gather_numbers(numbers: Sequence[float]) -> list[list[float]]:
    """Every process's numbers, in all of them; each has equally many."""
    if world_size() == 1:
        return [list(numbers)]
    table = torch.zeros(world_size(), len(numbers), dtype=torch.float64, device=_device())
    table[rank()] = torch.tensor(numbers, dtype=torch.float64)
    return all_reduce_sum(table).tolist()


def all_gather_objects(value: Item) -> list[Item]:
    """Every process's value, in all of them; it must be picklable, and tensors in it must be on the CPU."""
    if world_size() == 1:
        return [value]
    held: list[Any] = [None] * world_size()
    with _together():
        torch.distributed.all_gather_object(held, value)
    return held


def shard(n: int) -> slice:
    """This process's part of n things in a row: as even as can be, the first ones longer, none where n is small."""
    size, longer = divmod(n, world_size())
    here = rank() if world_size() > 1 else 0
    start = here * size + min(here, longer)
    return slice(start, start + size + (here < longer))


def map_sharded(items: Sequence[Item], work: Callable[[list[Item]], list[Result]]) -> list[Result]:
    """What `work` makes of all items, in their order, each process doing its part of them.

    Parts are filled up to one size with repeated items: a language model's sharded weights need every process in every
    step.
    """
    if world_size() == 1:
        return work(list(items))
    size = -(-len(items) // world_size())
    own = [items[(rank() + i * world_size()) % len(items)] for i in range(size)]
    parts = all_gather_objects(work(own))
    return [parts[i % world_size()][i // world_size()] for i in range(len(items))]


def _device() -> str:
    """Where small tensors that are added up live: accelerate's group on GPUs knows no others."""
    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"


@contextmanager
def _together() -> Iterator[None]:
    """Raise torch's errors about a lost connection as PeerLost."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(str(error).splitlines()[0]) from error


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
