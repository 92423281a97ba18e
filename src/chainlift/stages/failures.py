"""Exit status and one-line message of an exception: 2 for what the user can fix, 1 for a failure while running."""

from __future__ import annotations

from typing import Any

from chainlift import memory
from chainlift.distributed import PeerLost
from chainlift.runs import durable
from chainlift.visible import one_line

RESUME = memory.RESUME_HINT


class Interrupted(Exception):
    """The user asked to stop; finished work is kept."""


class RunsFailed(Exception):
    """Some runs of many failed; their folders say why."""


def explain(error: Exception) -> tuple[int, str]:
    """(exit status, message) of an error; an unknown error is raised again, so that its traceback is printed.

    The message for a command line that typer could not parse names the help; it is empty if typer has printed it.
    """
    if hasattr(error, "format_message"):
        return 2, _usage(error)
    if isinstance(error, Interrupted):
        return 130, f"stopped; {RESUME}"
    if isinstance(error, ValueError):
        return 2, f"error: {error}"
    if isinstance(error, PeerLost):
        return 1, f"error: another of the processes has ended ({error}); {RESUME}"
    if isinstance(error, RunsFailed):
        return 1, f"error: {error}"
    if isinstance(error, FloatingPointError):
        return 1, f"error: training diverged: {error}; lower the learning rate (the last checkpoint is kept)"
    if memory.is_out_of_memory(error):
        return 1, memory.OUT_OF_MEMORY
    if isinstance(error, OSError):
        hint = f"make room, then {RESUME}" if durable.is_full(error) else RESUME
        return 1, f"error: {error.filename or 'the run folder'}: {error.strerror or error}; {hint}"
    raise error


def _usage(error: Any) -> str:
    """An error message of typer in one line."""
    message = one_line(error.format_message())
    command = error.ctx.command_path if getattr(error, "ctx", None) else "chainlift"
    return f"error: {message.rstrip('.')}; see {command} --help" if message else ""
