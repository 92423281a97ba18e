"""Trackers that mirror a run's metrics: trackio, wandb or tensorboard.

The run folder's own record comes first. Rows are mirrored once a checkpoint covers them, from where the last
mirroring ended, so that a run which goes on shows no step twice and none that was taken back. Trackers send in the
background, so after a kill nobody knows what arrived: then the mirror is made anew, from the first row, under a new
name. What goes wrong in a tracker ends the mirroring, not the run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, get_args

from chainlift import reading
from chainlift.runs import shapes
from chainlift.runs.durable import write_file
from chainlift.runs.store import RunFolder
from chainlift.settings import suggest
from chainlift.visible import one_line

TrackerName = Literal["trackio", "wandb", "tensorboard"]
PROJECT = "chainlift"
MARK = ".mirrored"
"""File of a run folder: {tracker: its _Mark}."""


class Tracker(Protocol):
    """Where numbers are sent."""

    def __init__(self, folder: Path, name: str, config: dict[str, Any]) -> None:
        """Begin the tracker's run `name`, or go on with it."""
        ...

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        """Send a row's numbers; `row` counts the rows of a run, `step` the updates of its stage."""
        ...

    def close(self) -> None:
        """Send what is left, and end."""
        ...

    @staticmethod
    def forget(folder: Path, name: str) -> None:
        """Remove what this machine holds of a run that was cut off."""
        ...


def check(name: str) -> None:
    """ValueError in one line for a tracker that is not known or not installed."""
    known = get_args(TrackerName)
    if name not in known:
        raise ValueError(f"track: no tracker {name!r}{suggest(name, known)}; known: {', '.join(known)}")
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"track={name} needs the extra track: pip install 'chainlift[track]'")


class _Mark(TypedDict):
    """How far a mirror is."""

    name: str
    """Of the tracker's run: the folder's, with an ending of its own, as folders elsewhere have the same name."""
    sent: int
    """Bytes of metrics.jsonl."""
    open: bool
    """Whether a process was sending, or still is: what it sent need not have arrived."""


class Mirror:
    """Sends a folder's metrics to a tracker, from where it ended before."""

    def __init__(self, folder: RunFolder, name: str, config: dict[str, Any], warn: Callable[[str], None]) -> None:
        self.folder, self.name, self.config, self.warn = folder, name, config, warn
        self.backend = BACKENDS[name]
        self.tracker: Tracker | None = None
        self.mark = _Mark(name="", sent=0, open=False)
        self.is_off = False

    def update(self) -> None:
        """Send the rows that came since the last time, and remember how far that was."""
        if not self.is_off:
            self._try(self._send)

    def close(self) -> None:
        """End the tracker's run, when all has arrived."""
        if self.tracker is not None:
            self._try(self._end)
            self.tracker = None

    def _send(self) -> None:
        if self.tracker is None:  # not before there is something to send: a shared stage 1 has a run of its own first
            self._begin()
            self.tracker = self.backend(self.folder.path, self.mark["name"], self.config)
        with (self.folder.path / "metrics.jsonl").open("rb") as handle:
            before = handle.read(self.mark["sent"]).count(b"\n")
            for number, line in enumerate(handle.readlines(), start=before):
                row = reading.row(line, "metrics.jsonl")
                self.tracker.log(numbers(row), row=number, step=row["step"])
            self.mark["sent"] = handle.tell()
        self._keep_mark()

    def _begin(self) -> None:
        """Find the mark of an earlier process, or begin anew if it was cut off or there was none."""
        earlier = _marks(self.folder).get(self.name)
        if earlier is not None and earlier["open"]:
            self.backend.forget(self.folder.path, earlier["name"])
        if earlier is None or earlier["open"]:
            earlier = _Mark(name=f"{self.folder.path.name}-{uuid.uuid4().hex[:6]}", sent=0, open=False)
        self.mark = earlier
        self.mark["open"] = True
        self._keep_mark()

    def _end(self) -> None:
        if self.tracker is not None:
            self.tracker.close()
            self.mark["open"] = False
            self._keep_mark()

    def _keep_mark(self) -> None:
        write_file(self.folder.path / MARK, json.dumps(_marks(self.folder) | {self.name: self.mark}))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a tracker may fail in any way; the run goes on
            told = one_line(str(error), longest=200)
            self.warn(f"{self.name} is off from here on, the run is not: {type(error).__name__}: {told}")
            self.tracker, self.is_off = None, True


def is_whole(folder: RunFolder, name: str) -> bool:
    """Whether all rows of a folder have arrived at the tracker `name`."""
    mark = _marks(folder).get(name)
    rows = folder.path / "metrics.jsonl"
    return mark is not None and not mark["open"] and rows.exists() and mark["sent"] == rows.stat().st_size


def _marks(folder: RunFolder) -> dict[str, _Mark]:
    """The marks of all trackers."""
    file = folder.path / MARK
    found: dict[str, Any] = reading.json_mapping(file) if file.exists() else {}
    for name, mark in found.items():
        shapes.check(mark, shapes.Mark, f"{file}, key {name},")
    return found


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a metrics row as `stage/name`, or `stage/greedy/name`; other values are left out."""
    found: dict[str, float] = {}

    def take(above: str, content: dict[str, Any]) -> None:
        for key, value in content.items():
            if isinstance(value, dict) and key != "length_histogram":
                take(f"{above}/{key}", value)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                found[f"{above}/{key}"] = float(value)

    take(row["stage"], {key: value for key, value in row.items() if key not in ("stage", "kind", "final")})
    return found


class _Tensorboard:
    """Event files in the run folder; steps are a stage's updates."""

    def __init__(self, folder: Path, name: str, config: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard" / name))
        self.writer.add_text("recipe", "    " + json.dumps(config, indent=2).replace("\n", "\n    "))

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()

    @staticmethod
    def forget(folder: Path, name: str) -> None:
        shutil.rmtree(folder / "tensorboard" / name, ignore_errors=True)


class _Wandb:
    """One run of the project, continued by its id; WANDB_MODE=offline keeps it in the run folder.

    A run that was cut off stays on the server, where it is shown as crashed.
    """

    def __init__(self, folder: Path, name: str, config: dict[str, Any]) -> None:
        import wandb

        self.run = wandb.init(
            project=PROJECT,
            name=folder.name,
            id=name,
            resume="allow",
            dir=str(folder),
            config=config,
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        self.run.log(values, step=row)

    def close(self) -> None:
        self.run.finish()

    @staticmethod
    def forget(folder: Path, name: str) -> None:
        for offline in folder.glob(f"wandb/offline-run-*-{name}"):
            shutil.rmtree(offline, ignore_errors=True)


class _Trackio:
    """One run of the project in trackio's own folder (TRACKIO_DIR), continued by its name."""

    def __init__(self, folder: Path, name: str, config: dict[str, Any]) -> None:
        import trackio

        self.trackio = trackio
        with contextlib.redirect_stdout(sys.stderr):  # it prints, and standard output is for results
            trackio.init(project=PROJECT, name=name, config=config, resume="allow", embed=False)

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        self.trackio.log(values, step=row)

    def close(self) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            self.trackio.finish()

    @staticmethod
    def forget(folder: Path, name: str) -> None:
        import trackio

        with contextlib.suppress(ValueError):  # there is no such project: nothing had arrived
            for run in trackio.Api().runs(PROJECT):
                if run.name == name:
                    run.delete()


BACKENDS: dict[str, type[Tracker]] = {"trackio": _Trackio, "wandb": _Wandb, "tensorboard": _Tensorboard}
