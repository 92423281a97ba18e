"""Writing that a kill or a power cut cannot tear: a reader sees the old content or the new one, never a part.

What is being written, and what is being deleted, carries a name that begins with TEMPORARY; a folder that is being
replaced waits under a name that begins with ASIDE. `clean_up` puts in order what a kill left of them.

A name is on the disk only once its directory is synchronized, so every function here does that before it returns.
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
    """Replace a text file's content, or make the file."""
    try:
        _write_file(path, content)
    except FileNotFoundError:  # a `clean_up` at the same moment took the temporary file for one that a kill left
        _write_file(path, content)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)  # another process may have come first
        sync(folder.parent)


def write_folder(target: Path, fill: Callable[[Path], object]) -> None:
    """Make the folder `target`, or replace it, by one that `fill` has filled under another name."""
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
    """Seal a folder that was filled under a temporary name beside `target`, and give it that name.

    If a kill comes while an old folder is replaced, `clean_up` puts it back.
    """
    aside = target.parent / f"{REPLACED_PREFIX}{target.name}"
    seal(temporary)
    if target.exists():
        target.rename(aside)
    try:
        temporary.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    sync(target.parent)
    if aside.exists():
        discard(aside)


def seal(folder: Path) -> None:
    """Bring all that is in a folder onto the disk, then CHECKSUMS: a folder that has them is whole."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with naming(path):
                _sync_file(path)
    for path in sorted(path for path in folder.rglob("*") if path.is_dir()):
        sync(path)
    write_file(folder / CHECKSUMS, json.dumps(checksums.of(folder), indent=2) + "\n")
    sync(folder.parent)


def is_whole(folder: Path) -> bool:
    """Whether a folder was sealed; `checksums.check` tells whether its files are still as they were then."""
    return (folder / CHECKSUMS).is_file()


def whole_folders(parent: Path) -> dict[str, Path]:
    """The sealed folders in a folder, by name; one that a kill left aside without its successor counts as itself."""
    if not parent.is_dir():
        return {}
    found = {path.name: path for path in parent.iterdir() if is_whole(path)}
    aside = {
        name.removeprefix(REPLACED_PREFIX): path for name, path in found.items() if name.startswith(REPLACED_PREFIX)
    }
    named = {name: path for name, path in found.items() if not name.startswith((TEMPORARY, REPLACED_PREFIX))}
    return aside | named


def discard(path: Path) -> None:
    """Delete a folder; it loses its name first, so that no part of it is ever taken for the whole."""
    garbage = path.parent / f"{TEMPORARY}{path.name}"
    delete(garbage)
    path.rename(garbage)
    sync(path.parent)
    delete(garbage)
    sync(path.parent)


def delete(path: Path) -> None:
    """Delete a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clean_up(folder: Path) -> None:
    """Remove what kills left unfinished in a folder, and give replaced folders without a successor their name back.

    Only for the process that has the folder to itself.
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
    """Bring the names in a folder onto the disk."""
    if os.name == "nt":  # Windows opens no folders, and writes names through
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one may write into a folder without being allowed to open it
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems know no such thing
            raise
    finally:
        os.close(handle)


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk, a quota or the largest allowed file is full."""
    return error.errno in FULL


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name into an OSError that has none, as those of `write` and `fsync`."""
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
