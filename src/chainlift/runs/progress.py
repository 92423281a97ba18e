"""How far runs are, from their folders alone: nothing is written, and no lock is touched."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chainlift import reading
from chainlift.runs import course, shapes
from chainlift.runs.store import RunFolder
from chainlift.visible import one_line

State = Literal["running", "stopped", "failed", "done", "damaged"]
LOCKS = Path("/proc/locks")
TAIL = 1 << 17  # bytes at the end of metrics.jsonl in which the newest rows are looked for
RECENT_SECONDS = 120.0
"""Seconds: where locks are not listed, or are another machine's, a run whose record grew this lately is running."""


@dataclass(frozen=True)
class Progress:
    """A run as its folder shows it."""

    run_id: str
    state: State
    stage: str = ""
    """The stage's name; empty before the first update."""
    step: int = 0
    total: int | None = None
    """Updates of the stage; None where it is not known beforehand."""
    greedy_accuracy: float | None = None
    """At the last evaluation, as the length."""
    greedy_length: float | None = None
    changed: float = 0.0
    """When the record last grew, in seconds since 1970."""
    note: str = ""
    """The last line of what ended it, or why its folder cannot be read."""


class Watcher:
    """Looks at a folder of runs again and again; what has not changed is not read again."""

    def __init__(self, out: Path) -> None:
        if not out.is_dir():
            raise ValueError(f"{out} is no folder; name the one that holds run folders, as given to --out")
        self.out = out
        self._seen: dict[str, tuple[tuple[float, int], Progress]] = {}

    def poll(self) -> list[Progress]:
        """The runs, those at work first and then those that changed last; a damaged one says what is wrong."""
        locked = _locked()
        found = []
        for path in self.out.iterdir():
            if path.is_dir() and not path.name.startswith("."):
                one = self._one(path, locked)
                if one is not None:
                    found.append(one)
        return sorted(found, key=lambda one: (one.state != "running", -one.changed))

    def _one(self, path: Path, locked: set[int] | None) -> Progress | None:
        folder = RunFolder(path)
        try:
            if not (path / "recipe.yaml").exists():
                return None
            state, note = _state(folder, locked)
            stamp = _stamp(path / "metrics.jsonl")
            seen = self._seen.get(path.name)
            if seen is None or seen[0] != stamp or seen[1].state != state:
                seen = stamp, _read(path, state, note, stamp[0])
                self._seen[path.name] = seen
            return seen[1]
        except (OSError, ValueError) as error:
            if not path.is_dir():  # it was taken away
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
    """Whether another machine than this one last worked in the folder: its locks are not listed here."""
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
    evaluated: dict[str, Any] = next((row["greedy"] for row in reversed(rows) if row["kind"] == "evaluation"), {})
    stage, step = newest["stage"], newest["step"]
    if state == "done" and (ends := course.main_stages(recipe)):
        # What a finished run is about, and not its baseline, which comes last.
        summary = RunFolder(path).summary().get(ends[-1].name, {})
        evaluated = {name: summary.get(f"greedy_{name}") for name in ("accuracy", "length_median")}
        stage, step = ends[-1].name, summary.get("steps", step)
    return Progress(
        run_id=path.name,
        state=state,
        stage=stage,
        step=step,
        total=_total(recipe, stage),
        greedy_accuracy=evaluated.get("accuracy"),
        greedy_length=evaluated.get("length_median"),
        changed=changed,
        note=note,
    )


def _total(recipe: dict[str, Any], name: str) -> int | None:
    """The number of updates of a stage, None where the recipe does not say it."""
    settings = next((stage.settings for stage in course.of_recipe(recipe) if stage.name == name), {})
    found = settings.get("steps")
    return found if isinstance(found, int) else None


def _last_rows(path: Path) -> list[dict[str, Any]]:
    """The rows at the end of an appended file, a half-written last one left out."""
    if not path.exists():
        return []
    with reading.open_regular(path) as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(size - TAIL, 0))
        lines = handle.read().split(b"\n")
    whole = lines[1 if size > TAIL else 0 : -1]
    rows = [reading.row(line, "metrics.jsonl, near its end,") for line in whole]
    for row in rows:
        shapes.check_row(row, "metrics.jsonl, near its end,")
    return rows


def _stamp(path: Path) -> tuple[float, int]:
    """(time of the last change, size); zeros where there is no such file."""
    if not path.exists():
        return 0.0, 0
    found = path.stat()
    return found.st_mtime, found.st_size


def _locked() -> set[int] | None:
    """The inodes that some process on this machine has locked; None where the system does not tell.

    Their devices are left out: on layered file systems the list names others than `stat` does.
    """
    if not LOCKS.exists():
        return None
    fields = (line.split() for line in LOCKS.read_text(encoding="utf-8").splitlines())
    return {int(one[5].rpartition(":")[2]) for one in fields if len(one) > 5 and one[1] in ("FLOCK", "OFDLCK")}
