"""The run folder of several processes that work together: the first one reads and writes, the others hear from it.

So a folder need not be seen by more than one machine. Alone, each function does what its counterpart does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainlift import processes
from chainlift.runs.store import RunFolder


def opened(path: Path, recipe: dict[str, Any], identity: str, *, fresh: bool = False) -> RunFolder:
    """`RunFolder.open` by the first process; its ValueError comes to all."""
    return processes.first_says(lambda: RunFolder.open(path, recipe, identity, fresh=fresh))


@contextmanager
def hold(folder: RunFolder, *, wait: bool, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
    """`RunFolder.lock` by the first process, for all of them; all leave the block together.

    meanwhile: called by all of them, again and again, while the first one waits; what it raises ends the waiting.
    """
    if processes.count() == 1:
        with folder.lock(wait=wait, meanwhile=meanwhile):
            yield
        return
    with _first_holds(folder, wait, meanwhile) if processes.is_first() else _others_follow(meanwhile):
        yield
        processes.wait_for_all()


@contextmanager
def _first_holds(folder: RunFolder, wait: bool, meanwhile: Callable[[], None]) -> Iterator[None]:
    """Take the lock, telling the others after every try how it went: True, False, or the error that ends it."""
    known = False  # whether the others know how it ends

    def still_waiting() -> None:
        nonlocal known
        processes.from_first(False)
        known = True  # what `meanwhile` raises it raises in all of them, who then listen no more
        meanwhile()
        known = False

    try:
        with folder.lock(wait=wait, meanwhile=still_waiting):
            known = processes.from_first(True)
            yield
    except Exception as error:
        if not known:
            processes.from_first(error)
        raise


@contextmanager
def _others_follow(meanwhile: Callable[[], None]) -> Iterator[None]:
    while not (told := processes.from_first(None)):
        meanwhile()
    if isinstance(told, Exception):
        raise told
    yield
