"""The command line without a process of its own: what it prints, and how it ends."""

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from chainlift import cli
from tests.drawing import drawing


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


def command(*arguments: str | Path, draws: bool = False) -> Ended:
    """Run `chainlift ARGUMENTS` in this process; draws: figures, too (drawing.py)."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["chainlift", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        drawing(draws),
    ):
        try:
            cli.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        else:
            status = 0
    return Ended(status, out.getvalue(), err.getvalue())
