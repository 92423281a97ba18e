"""Progress of runs, read from their folders without writing to them or taking locks."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chainlift import reading
from chainlift.runs import shapes, stage_views
from chainlift.runs.store import RunFolder
from chainlift.visible import one_line

State = Literal["running", "stopped", "failed", "done", "damaged"]
LOCKS = Path("/proc/locks")
TAIL = 1 << 17  # bytes at the end of metrics.jsonl that are searched for the newest rows
RECENT_SECONDS = 120.0
"""Seconds. If the lock cannot be checked (locks not listed, or on another machine), a run whose record grew within this
time counts as running."""


@dataclass(frozen=True)
class Progress:
    """State and progress of one run."""

    run_id: str
    state: State
    stage: str = ""
    """The stage's name; empty before the first update."""
    step: int = 0
    total: int | None = None
    """Updates of the whole stage; None if not known beforehand."""
    greedy_accuracy: float | None = None
    """Greedy accuracy at the last evaluation."""
    greedy_length: float | None = None
    """Median length of greedy responses at the last evaluation."""
    changed: float = 0.0
    """Time of the record's last change, in seconds since 1970."""
    note: str = ""
    """The last line of the failure that ended it, or why its folder cannot be read."""


class Watcher:
    """Polls a folder of runs; runs that have not changed are not read again."""

    def __init__(self, out: Path) -> None:
        if not out.is_dir():
            raise ValueError(f"{out} is not a folder; name the one that holds run folders, as given to --out")
        self.out = out
        self._cache: dict[str, tuple[tuple[float, int], Progress]] = {}

    def poll(self) -> list[Progress]:
        """Progress of all runs, running ones first, then by last change; a damaged run has the reason as its note."""
        locked = _locked_inodes()
        runs = []
        for path in self.out.iterdir():
            if path.is_dir() and not path.name.startswith("."):
                run = self._progress(path, locked)
                if run is not None:
                    runs.append(run)
        return sorted(runs, key=lambda run: (run.state != "running", -run.changed))

    def _progress(self, path: Path, locked: set[int] | None) -> Progress | None:
        folder = RunFolder(path)
        try:
            if not (path / "recipe.yaml").exists():
                return None
            state, note = _state(folder, locked)
            stamp = _stamp(path / "metrics.jsonl")
            cached = self._cache.get(path.name)
            if cached is None or cached[0] != stamp or cached[1].state != state:
                cached = stamp, _read(path, state, note, stamp[0])
                self._cache[path.name] = cached
            return cached[1]
        except (OSError, ValueError) as error:
            if not path.is_dir():  # it was deleted meanwhile
                return None
            return Progress(path.name, "damaged", note=one_line(str(error).replace(f"{path}/", "")))


def _state(folder: RunFolder, locked: set[int] | None) -> tuple[State, str]:
    if folder.done:
        return "done", ""
    lock = folder.path / ".lock"
    if lock.exists() and locked is not None and lock.stat().st_ino in locked:
        return "running", ""
    if folder.failure is not None:
        return "failed", folder.failure_line
    metrics = folder.path / "metrics.jsonl"
    grew = metrics.exists() and time.time() - metrics.stat().st_mtime < RECENT_SECONDS
    if grew and lock.exists() and (locked is None or _is_of_another_machine(folder)):
        return "running", ""
    return "stopped", ""


def _is_of_another_machine(folder: RunFolder) -> bool:
    """Whether the run's last host is another machine, whose locks are not listed here."""
    file = folder.path / "environment.json"
    host = reading.json_mapping(file).get("host") if file.exists() else None
    return host is not None and host != platform.node()


def _read(path: Path, state: State, note: str, changed: float) -> Progress:
    rows = _last_rows(path / "metrics.jsonl")
    recipe = RunFolder(path).recipe()
    changed = changed or (path / "recipe.yaml").stat().st_mtime
    if not rows:
        return Progress(path.name, state, changed=changed, note=note)
    newest = rows[-1]
    greedy: dict[str, Any] = next((row["greedy"] for row in reversed(rows) if row["kind"] == "evaluation"), {})
    stage, step = newest["stage"], newest["step"]
    if state == "done" and (ends := stage_views.main_stages(recipe)):
        # The last stage that is not a baseline: a finished run's baseline comes after it.
        summary = RunFolder(path).summary().get(ends[-1].name, {})
        greedy = {name: summary.get(f"greedy_{name}") for name in ("accuracy", "length_median")}
        stage, step = ends[-1].name, summary.get("steps", step)
    return Progress(
        run_id=path.name,
        state=state,
        stage=stage,
        step=step,
        total=_total(recipe, stage),
        greedy_accuracy=greedy.get("accuracy"),
        greedy_length=greedy.get("length_median"),
        changed=changed,
        note=note,
    )


def _total(recipe: dict[str, Any], name: str) -> int | None:
    """Updates of a whole stage, None if the recipe does not say."""
    settings = next((stage.settings for stage in stage_views.of_recipe(recipe) if stage.name == name), {})
    steps = settings.get("steps")
    return steps if isinstance(steps, int) else None


def _last_rows(path: Path) -> list[dict[str, Any]]:
    """The last rows of an appended file, without a half-written one."""
    if not path.exists():
        return []
    with reading.open_regular(path) as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(size - TAIL, 0))
        lines = handle.read().split(b"\n")
    complete = lines[1 if size > TAIL else 0 : -1]
    rows = [reading.row(line, "metrics.jsonl, near its end,") for line in complete]
    for row in rows:
        shapes.check_row(row, "metrics.jsonl, near its end,")
    return rows


def _stamp(path: Path) -> tuple[float, int]:
    """(time of the last change, size in bytes); zeros if there is no such file."""
    if not path.exists():
        return 0.0, 0
    status = path.stat()
    return status.st_mtime, status.st_size


def _locked_inodes() -> set[int] | None:
    """Inodes that a process on this machine has locked; None if the system does not list locks.

    Devices are not compared: on layered file systems the list and `stat` name different ones.
    """
    if not LOCKS.exists():
        return None
    rows = (line.split() for line in LOCKS.read_text(encoding="utf-8").splitlines())
    return {int(row[5].rpartition(":")[2]) for row in rows if len(row) > 5 and row[1] in ("FLOCK", "OFDLCK")}
