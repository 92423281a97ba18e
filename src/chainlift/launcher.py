"""Rank, world size and CPU cores of this process from its environment, without importing PyTorch."""

from __future__ import annotations

import os


def launched_world_size() -> int:
    """Number of processes that torchrun or accelerate started together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Rank of this process, from 0."""
    return int(os.environ.get("RANK", "0")) if launched_world_size() > 1 else 0


def local_rank() -> int:
    """Rank of this process on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if launched_world_size() > 1 else 0


def local_world_size() -> int:
    """Number of the launched processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", str(launched_world_size()))) if launched_world_size() > 1 else 1


def is_rank0() -> bool:
    """Whether this process has rank 0, which writes the run folder and prints."""
    return rank() == 0


def cores() -> int:
    """Number of CPU cores that this process may use; in a container or cluster job, fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
