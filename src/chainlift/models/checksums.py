"""SHA-256 checksums of a folder's files, stored in the folder, to detect damage when the files are read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from chainlift import reading

CHECKSUMS = "checksums.json"


def of(folder: Path) -> dict[str, str]:
    """{path inside the folder: SHA-256} of all files in a folder except CHECKSUMS."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / CHECKSUMS)
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def check(folder: Path) -> None:
    """Compare a folder's files with its CHECKSUMS; ValueError names a missing or damaged file.

    A folder without CHECKSUMS, written by another program, passes. Files that CHECKSUMS does not name are not read.
    """
    listing = folder / CHECKSUMS
    if not os.path.lexists(listing):
        return
    for name, expected in _read(listing).items():
        file = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{listing} is damaged: {name!r} is not a file of this folder; {WAY_OUT}")
        try:
            actual = sha256(file)
        except ValueError as error:
            raise ValueError(f"{error}; {WAY_OUT}") from error
        if actual != expected:
            raise ValueError(f"{file} is damaged: its SHA-256 is not the one in {CHECKSUMS}; {WAY_OUT}")


WAY_OUT = "take another copy of the folder, or begin the run again with --fresh"


def _read(listing: Path) -> dict[str, str]:
    """The content of a CHECKSUMS file; ValueError if it is damaged."""
    try:
        return reading.checked(reading.json_mapping(listing), dict[str, str], str(listing))
    except ValueError as error:
        raise ValueError(f"{error}; {WAY_OUT}") from error


def sha256(file: Path) -> str:
    """The SHA-256 of a file in hexadecimal; ValueError if it cannot be read."""
    with reading.open_regular(file) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
