"""The run folder in distributed training: rank 0 reads, writes and locks it, and broadcasts the outcome.

Only rank 0's machine needs access to the folder. The functions are collectives. In a single process each of them equals
the method of RunFolder that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainlift import distributed
from chainlift.runs.store import RunFolder


def open_folder(path: Path, recipe: dict[str, Any], identity: str, *, fresh: bool = False) -> RunFolder:
    """`RunFolder.open` on rank 0; its ValueError is raised on every rank."""
    return distributed.run_on_rank0(lambda: RunFolder.open(path, recipe, identity, fresh=fresh))


@contextmanager
def lock(folder: RunFolder, *, wait: bool, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
    """`RunFolder.lock` on rank 0 for all ranks, which leave the block together.

    meanwhile: called on every rank after each attempt of rank 0; its exception ends the wait.
    """
    if distributed.world_size() == 1:
        with folder.lock(wait=wait, meanwhile=meanwhile):
            yield
        return
    with _rank0_locks(folder, wait, meanwhile) if distributed.is_rank0() else _others_wait(meanwhile):
        yield
        distributed.barrier()


@contextmanager
def _rank0_locks(folder: RunFolder, wait: bool, meanwhile: Callable[[], None]) -> Iterator[None]:
    """Acquire the lock, and broadcast the outcome of each attempt: True, False, or the exception that ends the wait."""
    outcome_known = False  # whether the other ranks know the outcome, and so expect no further broadcast

    def still_waiting() -> None:
        nonlocal outcome_known
        distributed.broadcast(False)
        outcome_known = True  # an exception of `meanwhile` is raised on all ranks, which then stop listening
        meanwhile()
        outcome_known = False

    try:
        with folder.lock(wait=wait, meanwhile=still_waiting):
            outcome_known = distributed.broadcast(True)
            yield
    except Exception as error:
        if not outcome_known:
            distributed.broadcast(error)
        raise


@contextmanager
def _others_wait(meanwhile: Callable[[], None]) -> Iterator[None]:
    """Wait for the outcome on the other ranks."""
    while not (outcome := distributed.broadcast(None)):
        meanwhile()
    if isinstance(outcome, Exception):
        raise outcome
    yield
