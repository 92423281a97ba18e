"""Data-parallel training: the process group that torchrun or accelerate launches, and its collectives.

Every rank draws the same data from the same named streams and takes the same decisions; each works on its shard. Only
rank 0 reads and writes the run folder and prints. `broadcast`, `run_on_rank0`, `barrier`, `any_rank`, `all_...` and
`map_sharded` are collectives: all ranks call them, in the same order. Gathered values are CPU objects. In a single
process each of them returns at once.

If a rank ends early, the next collective of the others raises `PeerLost`, and the launcher ends them.
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
from chainlift.launcher import launched_world_size as launched_world_size
from chainlift.launcher import local_rank as local_rank
from chainlift.launcher import local_world_size as local_world_size
from chainlift.launcher import rank as rank

Item = TypeVar("Item")
Result = TypeVar("Result")


class PeerLost(Exception):
    """Another rank has ended or cannot be reached."""


def join(device: torch.device) -> None:
    """Join the process group of the launched processes, with a backend for tensors on `device`; alone, do nothing.

    ValueError if no backend supports the device.
    """
    if launched_world_size() == 1 or torch.distributed.is_initialized():
        return
    if device.type == "mps":
        raise ValueError("device: several processes need cuda or cpu, not mps")
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    with _connection_errors():
        store, group_rank, group_size = next(iter(rendezvous("env://")))
        # A restart by torchrun keeps the store, which still holds the addresses of the processes that died.
        store = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        torch.distributed.init_process_group(backend, store=store, rank=group_rank, world_size=group_size)
    atexit.register(_destroy_process_group)


def world_size() -> int:
    """Number of ranks in the process group; 1 before `join` and in a single process."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def barrier() -> None:
    """Block until every rank has called this function."""
    any_rank(False)


def broadcast(value: Item) -> Item:
    """Return rank 0's value on every rank; it must be picklable."""
    return run_on_rank0(lambda: value)


def run_on_rank0(work: Callable[[], Result]) -> Result:
    """Call `work` on rank 0 only, and return its result on every rank; its exception is raised on every rank."""
    if world_size() == 1:
        return work()
    outcome: list[Any] = [None]
    if is_rank0():
        try:
            outcome = [(work(), None)]
        except Exception as error:
            outcome = [(None, error)]
    with _connection_errors():
        torch.distributed.broadcast_object_list(outcome, src=0)
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank."""
    if world_size() == 1:
        return flag
    highest = torch.tensor(int(flag), device=_device())
    with _connection_errors():
        torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX)
    return bool(highest)


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Sum the tensor over all ranks, in place, and return it; every rank gets the same bits."""
    if world_size() > 1:
        with _connection_errors():
            torch.distributed.all_reduce(tensor)
    return tensor


def all_gather_numbers(numbers: Sequence[float]) -> list[list[float]]:
    """Return the numbers of all ranks, by rank, on every rank; each rank gives equally many."""
    if world_size() == 1:
        return [list(numbers)]
    table = torch.zeros(world_size(), len(numbers), dtype=torch.float64, device=_device())
    table[rank()] = torch.tensor(numbers, dtype=torch.float64)
    return all_reduce_sum(table).tolist()


def all_gather_objects(value: Item) -> list[Item]:
    """Return the values of all ranks, by rank, on every rank; they must be picklable, their tensors on the CPU."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    with _connection_errors():
        torch.distributed.all_gather_object(values, value)
    return values


def shard(n: int) -> slice:
    """This rank's contiguous slice of n items; sizes differ by at most 1, lower ranks get the longer slices."""
    size, remainder = divmod(n, world_size())
    index = rank() if world_size() > 1 else 0
    start = index * size + min(index, remainder)
    return slice(start, start + size + (index < remainder))


def map_sharded(items: Sequence[Item], work: Callable[[list[Item]], list[Result]]) -> list[Result]:
    """Apply `work` to a shard of the items on each rank, and return the results of all items, in order, on every rank.

    Shards are padded to one size with repeated items: with sharded weights every rank must take part in every forward
    pass.
    """
    if world_size() == 1:
        return work(list(items))
    size = -(-len(items) // world_size())
    local_items = [items[(rank() + i * world_size()) % len(items)] for i in range(size)]
    by_rank = all_gather_objects(work(local_items))
    return [by_rank[i % world_size()][i // world_size()] for i in range(len(items))]


def _device() -> str:
    """The device for small tensors in collectives: accelerate's process group on GPUs has the backend NCCL only."""
    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"


@contextmanager
def _connection_errors() -> Iterator[None]:
    """Raise PyTorch's errors about a lost connection as PeerLost."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(str(error).splitlines()[0]) from error


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
