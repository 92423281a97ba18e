"""The command line: one command for each verb, without logic of its own."""

from __future__ import annotations

import io
import sys

import typer

from chainlift import memory
from chainlift.cli import benchmark, interop, one_run, sweeps, tasks  # noqa: F401 (they add their commands to app)
from chainlift.cli.app import app


def main() -> None:
    """Run the command line; bad input ends with status 2, a failure while running with 1, Ctrl-C with 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the locale lacks is written as \u2014
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False))
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(_print_error(error))


def _print_error(error: Exception) -> int:
    """Print an error's line in the first process, and return its exit status."""
    from chainlift.visible import one_line

    try:
        from chainlift import launcher
        from chainlift.stages.failures import explain

        status, line = explain(error)
        if line and launcher.local_rank() == 0:
            print(one_line(line), file=sys.stderr)
    except Exception as later:  # explain has raised the error again, or no memory was left to import it
        if not (memory.is_out_of_memory(error) or memory.is_out_of_memory(later)):
            raise
        print(memory.OUT_OF_MEMORY, file=sys.stderr)
        return 1
    return status
