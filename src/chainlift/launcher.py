"""Rank, number of processes and cores of this one from its environment, without importing PyTorch."""

from __future__ import annotations

import os


def launched() -> int:
    """How many processes the launcher has started, of which this is one; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This one's number, from 0."""
    return int(os.environ.get("RANK", "0")) if launched() > 1 else 0


def local_rank() -> int:
    """This one's number among those on the same machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if launched() > 1 else 0


def local_count() -> int:
    """Processes on the same machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", str(launched()))) if launched() > 1 else 1


def is_rank0() -> bool:
    """Whether this process writes and speaks for all."""
    return rank() == 0


def cores() -> int:
    """CPU cores that this process may use: fewer than the machine has, in a container or a job of a cluster."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
