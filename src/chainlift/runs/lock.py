"""One process at a time in a folder: a lock of the operating system, by the library filelock.

The lock ends with the process that holds it, however that ends, so a killed run leaves nothing to clear away. Processes
that the holder has started do not hold it, whether they were forked or executed.

Between machines it is as good as the folder's file system. NFS 4 and parallel file systems that are mounted with
cluster-wide locks keep it; a machine that goes down while it holds one sets it free when the server gives the machine
up (about 90 seconds with NFS 4, only after its return with NFS 3). Where locks stay on one machine (NFS with
local_lock, Lustre with localflock), nothing but the launcher keeps two machines apart: start one sweep at a time there.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from chainlift.runs import durable

FILE = ".lock"
SECONDS = 0.25  # between two tries to get a lock that another process holds


class InUse(ValueError):
    """Another process holds the folder."""


@contextmanager
def hold(folder: Path, *, wait: bool, meanwhile: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the folder for this process until the block ends; InUse if another holds it and `wait` is off.

    meanwhile: called again and again while waiting; what it raises ends the waiting. ValueError where the folder cannot
    be written, or its file system has no locks.
    """
    # Without locks in the file system, filelock would make do with a file that a killed process leaves behind.
    lock = FileLock(folder / FILE, fallback_to_soft=False)
    while not _taken(lock, folder):  # not one blocking call: that would go on through a signal that asks to stop
        if not wait:
            raise InUse(f"another process is at work in {folder}")
        if meanwhile is not None:
            meanwhile()
        time.sleep(SECONDS)
    try:
        yield
    finally:
        lock.release()


def _taken(lock: FileLock, folder: Path) -> bool:
    """Whether this try has got the lock."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        if durable.is_full(error):
            raise
        if error.errno in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise ValueError(f"the file system of {folder} has no file locks; choose another --out") from error
        raise ValueError(f"cannot write into {folder}: {error.strerror}; choose another --out") from error
    return True
