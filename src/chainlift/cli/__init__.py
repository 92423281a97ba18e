"""The command line: one command a verb, no logic."""

from __future__ import annotations

import io
import sys

import typer

from chainlift import memory
from chainlift.cli import benchmark, interop, one_run, sweeps, tasks  # noqa: F401 (their commands)
from chainlift.cli.app import app


def main() -> None:
    """Run the command line; bad input ends with status 2, a failure while running with 1, Ctrl-C with 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the locale cannot write is written as \u2014
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False))
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(_tell(error))


def _tell(error: Exception) -> int:
    """The exit status of an error, whose line is printed by the first process."""
    from chainlift.visible import one_line

    try:
        from chainlift import launcher
        from chainlift.stages.failures import explain

        status, line = explain(error)
        if line and launcher.local_rank() == 0:
            print(one_line(line), file=sys.stderr)
    except Exception as second:  # the error itself, raised again, or what told of it found no memory for its imports
        if not (memory.is_out_of_memory(error) or memory.is_out_of_memory(second)):
            raise
        print(memory.OUT_OF_MEMORY, file=sys.stderr)
        return 1
    return status
