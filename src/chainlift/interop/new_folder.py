"""A new folder that a command fills with exported files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chainlift.reading import StrPath
from chainlift.runs.durable import is_full


@contextmanager
def new_folder(folder: StrPath) -> Iterator[Path]:
    """The folder, made if missing; ValueError if it is not empty or cannot be written."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not empty; name a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        if is_full(error):
            raise
        raise ValueError(f"cannot write into {folder}: {error.strerror or error}") from error
