"""Running sweeps in the terminal: a line a run, those at work first, with totals below."""

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

COLOURS = {"running": "bold", "done": "green", "failed": "red", "stopped": "yellow", "damaged": "red"}
BAR = 5
STAGE = 9  # characters of a stage's name: with them all of a run fits into 80
AROUND = 6  # lines of the screen that are not runs


class Pace:
    """How fast runs go, from what was seen of them."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], tuple[float, int]] = {}

    def seconds_left(self, one: Progress, now: float) -> float | None:
        """Until the end of the run's stage; None until it has been seen to move, or where its end is not known."""
        where = one.run_id, one.stage
        if one.state != "running":
            self._first.pop(where, None)  # if it goes on, its pace is that from then on
            return None
        since, step = self._first.setdefault(where, (now, one.step))
        if one.total is None or one.step <= step or now <= since:
            return None
        return (one.total - one.step) * (now - since) / (one.step - step)


def table(found: Sequence[Progress], pace: Pace, now: float, *, rows: int | None = None) -> Group:
    """The runs as a table of at most `rows` lines, and a line of totals."""
    shown = found if rows is None else found[: max(rows, 1)]
    lines = Table(box=None, pad_edge=False, header_style="dim")
    lines.add_column("run", no_wrap=True, overflow="ellipsis")
    for name, width, most in (
        ("state", 7, None),
        ("stage", 5, STAGE),
        ("updates", 9, None),
        ("", BAR, None),
        ("greedy", 6, None),
        ("length", 6, None),
        ("left", 5, None),
    ):
        lines.add_column(name, no_wrap=True, overflow="ellipsis", min_width=width, max_width=most)
    for one in shown:
        left = pace.seconds_left(one, now)
        lines.add_row(
            plain(one.run_id),
            Text(one.state, COLOURS[one.state]),
            one.stage or ("waits" if one.state == "running" else ""),
            f"{one.step}/{one.total}" if one.total else str(one.step or ""),
            ProgressBar(one.total, one.step, width=BAR) if one.total and one.state == "running" else plain(one.note),
            "" if one.greedy_accuracy is None else f"{one.greedy_accuracy:.3f}",
            "" if one.greedy_length is None else f"{one.greedy_length:g}",
            "" if left is None else _clock(left),
        )
    counts = Counter(one.state for one in found)
    totals = ", ".join(f"{counts[state]} {state}" for state in COLOURS if counts[state]) or "no runs yet"
    more = f"   and {len(found) - len(shown)} more" if len(shown) < len(found) else ""
    return Group(lines, Text(totals + more, "dim"))


def watch(watcher: Watcher, console: Console, every: float) -> None:
    """Show the runs, again every so many seconds, until Ctrl-C."""
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
    """h:mm:ss, or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
