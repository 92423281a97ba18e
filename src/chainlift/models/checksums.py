"""Checksums of a folder's files, kept in a file beside them, so that damage is found when they are read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

CHECKSUMS = "checksums.json"


def of(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder, by its path inside; CHECKSUMS itself is left out."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / CHECKSUMS)
    return {file.relative_to(folder).as_posix(): _sha256(file) for file in files}


def check(folder: Path) -> None:
    """Compare a folder's files with its CHECKSUMS; ValueError names the file that is missing or damaged.

    A folder without CHECKSUMS was written by another program; there is nothing to compare then. Files that CHECKSUMS
    does not name are not looked at.
    """
    listing = folder / CHECKSUMS
    if not listing.is_file():
        return
    for name, expected in _read(listing).items():
        file = folder / name
        try:
            actual = _sha256(file)
        except OSError as error:
            raise ValueError(f"{file} is missing or cannot be read ({error.strerror}); {WAY_OUT}") from error
        if actual != expected:
            raise ValueError(f"{file} is damaged: its SHA-256 is not the one in {CHECKSUMS}; {WAY_OUT}")


WAY_OUT = "take another copy of the folder, or begin the run again with --fresh"


def _read(listing: Path) -> dict[str, str]:
    """The content of CHECKSUMS."""
    try:
        content = json.loads(listing.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            raise ValueError("it is no mapping of names to checksums")
    except (OSError, ValueError) as error:  # a JSONDecodeError and a UnicodeDecodeError are ValueErrors
        raise ValueError(f"{listing} is damaged: {error}; {WAY_OUT}") from error
    return content


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
