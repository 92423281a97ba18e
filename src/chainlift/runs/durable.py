"""Atomic, durable writes: after a kill or a power cut a reader sees the old content or the new content, never a part.

A file or folder that is being written or deleted has a name that begins with TEMPORARY. A folder that is being replaced
has one that begins with REPLACED_PREFIX. `clean_up` tidies what a kill left of them.

A name is on the disk only after its directory is synchronized, so every function here does that before it returns.
Renames are atomic on local file systems and on NFS.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chainlift.models import checksums
from chainlift.models.checksums import CHECKSUMS

TEMPORARY = ".tmp-"
REPLACED_PREFIX = ".old-"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_file(path: Path, content: str) -> None:
    """Write a text file atomically, in place of an old one."""
    try:
        _write_file(path, content)
    except FileNotFoundError:  # a concurrent `clean_up` removed the temporary file
        _write_file(path, content)


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)  # another process may create it first
        sync(folder.parent)


def write_folder(target: Path, fill: Callable[[Path], object]) -> None:
    """Create or replace the folder `target` atomically; `fill` writes the content into the folder it is given."""
    clean_up(target.parent)
    temporary = target.parent / f"{TEMPORARY}{target.name}"
    temporary.mkdir()
    try:
        fill(temporary)
        put_in_place(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def put_in_place(temporary: Path, target: Path) -> None:
    """Seal a folder filled under a temporary name beside `target`, and rename it to `target`.

    If a kill interrupts the replacement of an old folder, `clean_up` restores it.
    """
    replaced = target.parent / f"{REPLACED_PREFIX}{target.name}"
    seal(temporary)
    if target.exists():
        target.rename(replaced)
    try:
        temporary.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise
    sync(target.parent)
    if replaced.exists():
        discard(replaced)


def seal(folder: Path) -> None:
    """Write a folder's files through to the disk, then its CHECKSUMS; a folder with CHECKSUMS is complete."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with naming(path):
                _sync_file(path)
    for path in sorted(path for path in folder.rglob("*") if path.is_dir()):
        sync(path)
    write_file(folder / CHECKSUMS, json.dumps(checksums.of(folder), indent=2) + "\n")
    sync(folder.parent)


def is_whole(folder: Path) -> bool:
    """Whether a folder was sealed; `checksums.check` compares its files with their checksums."""
    return (folder / CHECKSUMS).is_file()


def whole_folders(parent: Path) -> dict[str, Path]:
    """{name: path} of the sealed folders in a folder; one left half replaced by a kill counts under its name."""
    if not parent.is_dir():
        return {}
    sealed = {path.name: path for path in parent.iterdir() if is_whole(path)}
    replaced = {
        name.removeprefix(REPLACED_PREFIX): path for name, path in sealed.items() if name.startswith(REPLACED_PREFIX)
    }
    current = {name: path for name, path in sealed.items() if not name.startswith((TEMPORARY, REPLACED_PREFIX))}
    return replaced | current


def discard(path: Path) -> None:
    """Delete a folder; it is renamed first, so that a half-deleted folder never passes as complete."""
    garbage = path.parent / f"{TEMPORARY}{path.name}"
    delete(garbage)
    path.rename(garbage)
    sync(path.parent)
    delete(garbage)
    sync(path.parent)


def delete(path: Path) -> None:
    """Delete a file, or a folder with its content."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clean_up(folder: Path) -> None:
    """Remove what kills left unfinished in a folder, and restore replaced folders without a successor.

    Only the process that holds the folder's lock may call it.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(REPLACED_PREFIX):
            target = folder / path.name.removeprefix(REPLACED_PREFIX)
            if target.exists():
                discard(path)
            else:
                path.rename(target)
                sync(folder)
    for path in sorted(folder.glob(f"{TEMPORARY}*")):
        delete(path)


def sync(folder: Path) -> None:
    """Write the names in a folder through to the disk."""
    if os.name == "nt":  # Windows cannot open folders, and writes names through
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder may be writable and not readable
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems do not support it
            raise
    finally:
        os.close(handle)


def is_full(error: OSError) -> bool:
    """Whether the error means a full disk, an exhausted quota or a file at its size limit."""
    return error.errno in FULL


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file's name to an OSError without one, such as those of `write` and `fsync`."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _write_file(path: Path, content: str) -> None:
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{uuid.uuid4().hex[:12]}")  # process ids repeat
    try:
        with naming(path), temporary.open("w", encoding="utf-8") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    with path.open("rb" if os.name == "posix" else "rb+") as handle:
        os.fsync(handle.fileno())
