"""The run folder of several processes that work together: the first one reads and writes, and sends to the others.

So a folder need not be seen by more than one machine. Alone, each function does what its counterpart does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainlift import distributed
from chainlift.runs.store import RunFolder


def open_folder(path: Path, recipe: dict[str, Any], identity: str, *, fresh: bool = False) -> RunFolder:
    """`RunFolder.open` by the first process; its ValueError comes to all."""
    return distributed.run_on_rank0(lambda: RunFolder.open(path, recipe, identity, fresh=fresh))


@contextmanager
def lock(folder: RunFolder, *, wait: bool, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
    """`RunFolder.lock` by the first process, for all of them; all leave the block together.

    meanwhile: called by all of them, again and again, while the first one waits; what it raises ends the waiting.
    """
    if distributed.world_size() == 1:
        with folder.lock(wait=wait, meanwhile=meanwhile):
            yield
        return
    with _first_holds(folder, wait, meanwhile) if distributed.is_rank0() else _others_follow(meanwhile):
        yield
        distributed.barrier()


@contextmanager
def _first_holds(folder: RunFolder, wait: bool, meanwhile: Callable[[], None]) -> Iterator[None]:
    """Take the lock, telling the others after every try how it went: True, False, or the error that ends it."""
    known = False  # whether the others know how it ends

    def still_waiting() -> None:
        nonlocal known
        distributed.broadcast(False)
        known = True  # what `meanwhile` raises it raises in all of them, who then listen no more
        meanwhile()
        known = False

    try:
        with folder.lock(wait=wait, meanwhile=still_waiting):
            known = distributed.broadcast(True)
            yield
    except Exception as error:
        if not known:
            distributed.broadcast(error)
        raise


@contextmanager
def _others_follow(meanwhile: Callable[[], None]) -> Iterator[None]:
    while not (told := distributed.broadcast(None)):
        meanwhile()
    if isinstance(told, Exception):
        raise told
    yield
