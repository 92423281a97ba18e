"""What a sweep waits for, said to the user now and then: no launcher waits in silence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from chainlift.sweep.jobs import Job

SAY_SECONDS = 300.0  # between two lines
LISTED = 3  # jobs that a line names
QUIET_SECONDS = 600.0  # without a new row, after which a line says so

Say = Callable[[str], None]
"""Who shows a line to the user."""


def silent(line: str) -> None:
    """Shows nothing: for callers who want no words."""


def counted(number: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


class Statements:
    """Says what is waited for every SAY_SECONDS, until something happens."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._last = time.monotonic()

    def happened(self) -> None:
        """Something has been said: the next line is due later."""
        self._last = time.monotonic()

    def waiting(self, line: Callable[[], str]) -> None:
        """Say the line, if one is due."""
        if time.monotonic() - self._last >= SAY_SECONDS:
            self.happened()
            self._say(line())


def at_work(since: Mapping[str, tuple[Job, float]], num_waiting: int) -> str:
    """A line about jobs at work: (job, when it began) by run_id; and how many wait until those have ended."""
    named = [_one(job, began) for job, began in list(since.values())[:LISTED]]
    more = f" and {len(since) - LISTED} more" if len(since) > LISTED else ""
    behind = f"; {num_waiting} wait for a place or a shared stage" if num_waiting else ""
    return f"  waiting for {len(since)} at work: {', '.join(named)}{more}{behind}"


def _one(job: Job, began: float) -> str:
    """A job with its minutes, and whether it seems to stand still."""
    text = f"{job.run_id} ({(time.monotonic() - began) / 60:.0f} min"
    metrics = job.folder.path / "metrics.jsonl"
    written = time.time() - metrics.stat().st_mtime if metrics.exists() else time.monotonic() - began
    if written > QUIET_SECONDS:
        text += f", no new row for {written / 60:.0f} min: it computes, or another process holds its folder"
    return text + ")"
