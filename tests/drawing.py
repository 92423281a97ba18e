"""Figures that are named and not drawn: drawing takes most of the time of a small run from the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


@contextmanager
def drawing(on: bool) -> Iterator[None]:
    """Inside of the block figures are saved as ever where this is on, else as empty files of their names."""
    if on:
        yield
        return
    from matplotlib.figure import Figure

    real = Figure.savefig

    def savefig(self: Figure, file: Any, **options: Any) -> None:
        if isinstance(file, str | Path):
            Path(file).write_bytes(b"")
        else:
            real(self, file, **options)

    with mock.patch.object(Figure, "savefig", savefig):
        yield
