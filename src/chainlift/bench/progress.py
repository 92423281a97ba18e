"""Progress of the measurements and their remaining time: a bar in a terminal, occasional lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 15.0  # between two plain lines


class Steps:
    """Counts and shows steps of roughly equal length."""

    def __init__(self, console: Console) -> None:
        self.console, self.done, self.total = console, 0, 0
        self.title = ""
        self._bar: Progress | None = None
        self._started = self._last = time.monotonic()

    @contextmanager
    def of(self, total: int) -> Iterator[None]:
        """Show `total` steps inside the block."""
        self.total, self.done = total, 0
        self._started = self._last = time.monotonic()
        if not self.console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as self._bar:
            self._bar.add_task(self.title, total=total)
            yield
        self._bar = None

    def tick(self) -> None:
        """Count one more step as done."""
        self.done += 1
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, description=self.title)
        elif now - self._last >= PLAIN_SECONDS:
            self._last = now
            left = (now - self._started) / self.done * (self.total - self.done)
            self.console.print(
                f"  {self.title}: {self.done} of {self.total} steps, about {left:.0f} s left",
                markup=False,
                soft_wrap=True,
            )
