"""Live table of a sweep's runs in the terminal: active runs first, totals below."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chainlift.report.terminal.console import plain
from chainlift.runs.progress import Progress, Watcher

COLORS = {"running": "bold", "done": "green", "failed": "red", "stopped": "yellow", "damaged": "red"}
BAR = 5
STAGE = 9  # characters of a stage's name, so that a row fits into 80
AROUND = 6  # lines of the screen besides runs


class Pace:
    """Estimates the speed of runs from the progress seen so far."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], tuple[float, int]] = {}

    def seconds_left(self, progress: Progress, now: float) -> float | None:
        """Seconds until the run's stage ends; None before any observed progress, or if its total is unknown."""
        key = progress.run_id, progress.stage
        if progress.state != "running":
            self._first.pop(key, None)  # if it continues, its pace is measured anew
            return None
        since, step = self._first.setdefault(key, (now, progress.step))
        if progress.total is None or progress.step <= step or now <= since:
            return None
        return (progress.total - progress.step) * (now - since) / (progress.step - step)


def table(runs: Sequence[Progress], pace: Pace, now: float, *, rows: int | None = None) -> Group:
    """Table of at most `rows` runs, and a line of totals."""
    shown = runs if rows is None else runs[: max(rows, 1)]
    lines = Table(box=None, pad_edge=False, header_style="dim")
    lines.add_column("run", no_wrap=True, overflow="ellipsis")
    for name, min_width, max_width in (
        ("state", 7, None),
        ("stage", 5, STAGE),
        ("updates", 9, None),
        ("", BAR, None),
        ("greedy", 6, None),
        ("length", 6, None),
        ("left", 5, None),
    ):
        lines.add_column(name, no_wrap=True, overflow="ellipsis", min_width=min_width, max_width=max_width)
    for run in shown:
        left = pace.seconds_left(run, now)
        lines.add_row(
            plain(run.run_id),
            Text(run.state, COLORS[run.state]),
            run.stage or ("waits" if run.state == "running" else ""),
            f"{run.step}/{run.total}" if run.total else str(run.step or ""),
            ProgressBar(run.total, run.step, width=BAR) if run.total and run.state == "running" else plain(run.note),
            "" if run.greedy_accuracy is None else f"{run.greedy_accuracy:.3f}",
            "" if run.greedy_length is None else f"{run.greedy_length:g}",
            "" if left is None else _clock(left),
        )
    counts = Counter(run.state for run in runs)
    totals = ", ".join(f"{counts[state]} {state}" for state in COLORS if counts[state]) or "no runs yet"
    more = f"   and {len(runs) - len(shown)} more" if len(shown) < len(runs) else ""
    return Group(lines, Text(totals + more, "dim"))


def watch(watcher: Watcher, console: Console, every: float) -> None:
    """Show the runs, refreshed every `every` seconds, until Ctrl-C."""
    pace = Pace()
    try:
        with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                now = time.monotonic()
                live.update(table(watcher.poll(), pace, now, rows=console.height - AROUND), refresh=True)
                time.sleep(every)
    except KeyboardInterrupt:
        console.print(table(watcher.poll(), pace, time.monotonic(), rows=console.height - AROUND))


def _clock(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
