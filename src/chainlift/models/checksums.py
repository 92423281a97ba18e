"""Checksums of a folder's files, kept in a file beside them, so that damage is found when they are read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from chainlift import reading

CHECKSUMS = "checksums.json"


def of(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder, by its path inside; CHECKSUMS itself is left out."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / CHECKSUMS)
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def check(folder: Path) -> None:
    """Compare a folder's files with its CHECKSUMS; ValueError names the file that is missing or damaged.

    A folder without CHECKSUMS was written by another program; there is nothing to compare then. Files that CHECKSUMS
    does not name are not read.
    """
    listing = folder / CHECKSUMS
    if not os.path.lexists(listing):
        return
    for name, expected in _read(listing).items():
        file = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{listing} is damaged: {name!r} is no file of this folder; {WAY_OUT}")
        try:
            actual = sha256(file)
        except ValueError as error:
            raise ValueError(f"{error}; {WAY_OUT}") from error
        if actual != expected:
            raise ValueError(f"{file} is damaged: its SHA-256 is not the one in {CHECKSUMS}; {WAY_OUT}")


WAY_OUT = "take another copy of the folder, or begin the run again with --fresh"


def _read(listing: Path) -> dict[str, str]:
    """The content of CHECKSUMS."""
    try:
        return reading.checked(reading.json_mapping(listing), dict[str, str], str(listing))
    except ValueError as error:
        raise ValueError(f"{error}; {WAY_OUT}") from error


def sha256(file: Path) -> str:
    """The SHA-256 of a file; ValueError names one that cannot be read."""
    with reading.open_regular(file) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
