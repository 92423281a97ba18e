"""Lines that report, from time to time, what a launcher waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from chainlift.sweep.jobs import Job

SAY_SECONDS = 300.0  # between two lines
MAX_NAMED = 3  # jobs that a line names
QUIET_SECONDS = 600.0  # without a new row of metrics, after which a line says so

Say = Callable[[str], None]
"""Callback that shows a line to the user."""


def silent(line: str) -> None:
    """Discard a line."""


def counted(number: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


class Statements:
    """Reports what a launcher waits for once SAY_SECONDS have passed without another line."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._last = time.monotonic()

    def happened(self) -> None:
        """Restart the clock: the user has seen another line."""
        self._last = time.monotonic()

    def waiting(self, line: Callable[[], str]) -> None:
        """Show the line if one is due."""
        if time.monotonic() - self._last >= SAY_SECONDS:
            self.happened()
            self._say(line())


def at_work(since: Mapping[str, tuple[Job, float]], num_waiting: int) -> str:
    """A line about the jobs at work, {run_id: (job, when it began)}, and the number of jobs that wait."""
    named = [_progress(job, began) for job, began in list(since.values())[:MAX_NAMED]]
    more = f" and {len(since) - MAX_NAMED} more" if len(since) > MAX_NAMED else ""
    waiting = f"; {num_waiting} wait for a place or a shared stage" if num_waiting else ""
    return f"  waiting for {len(since)} at work: {', '.join(named)}{more}{waiting}"


def _progress(job: Job, began: float) -> str:
    """A job with its minutes, and whether its metrics have stopped growing."""
    text = f"{job.run_id} ({(time.monotonic() - began) / 60:.0f} min"
    metrics = job.folder.path / "metrics.jsonl"
    quiet_seconds = time.time() - metrics.stat().st_mtime if metrics.exists() else time.monotonic() - began
    if quiet_seconds > QUIET_SECONDS:
        text += f", no new row for {quiet_seconds / 60:.0f} min: it computes, or another process holds its folder"
    return text + ")"
