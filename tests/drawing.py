"""Figures that are named and not drawn: drawing takes most of the time of a small run from the command line.

Laying them out without saving takes a second of three. Whether they can be drawn is seen where `draws` is set: in the
run of the fixture `finished`, and in runs of PPO and DPO.
"""

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
