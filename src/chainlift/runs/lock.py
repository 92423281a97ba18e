"""Exclusive lock of a folder: a file lock of the operating system, by the library filelock.

The system releases the lock when the process that holds it ends, so a killed run leaves no stale lock. Child processes
of the holder do not hold it, whether they were forked or executed.

Across machines the lock depends on the folder's file system. It works on NFS 4 and on parallel file systems mounted
with cluster-wide locks. If a machine goes down while it holds the lock, the server releases it after about 90 seconds
(NFS 4) or when the machine is back (NFS 3). Where locks are local to a machine (NFS with local_lock, Lustre with
localflock), two machines can enter a folder at the same time: start one sweep at a time there.
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
SECONDS = 0.25  # between two attempts to acquire a lock that another process holds


class InUse(ValueError):
    """Another process holds the folder's lock."""


@contextmanager
def hold(folder: Path, *, wait: bool, meanwhile: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the folder's lock during the block; InUse if another process holds it and `wait` is false.

    meanwhile: called between attempts; its exception ends the wait. ValueError if the folder is not writable or its
    file system has no locks.
    """
    # filelock's fallback for file systems without locks is a file, which a killed process would leave behind.
    lock = FileLock(folder / FILE, fallback_to_soft=False)
    while not _try_acquire(lock, folder):  # a blocking call would not end at a signal to stop
        if not wait:
            raise InUse(f"another process is at work in {folder}")
        if meanwhile is not None:
            meanwhile()
        time.sleep(SECONDS)
    try:
        yield
    finally:
        lock.release()


def _try_acquire(lock: FileLock, folder: Path) -> bool:
    """Try once to acquire the lock, and return whether it succeeded."""
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
