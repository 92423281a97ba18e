"""Trackers that mirror a run's metrics: trackio, wandb or tensorboard.

The run folder holds the primary record. Rows are mirrored once a checkpoint covers them, starting where the last
mirroring ended, so a continued run shows no step twice and no step that was rewound. Trackers send in the background,
so after a kill it is unknown what arrived: the mirror is then made anew from the first row, under a new name. An error
in a tracker ends the mirroring, not the run.
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
"""File in the run folder with {tracker: _Mark}."""


class Tracker(Protocol):
    """A service that receives numbers."""

    def __init__(self, folder: Path, name: str, config: dict[str, Any]) -> None:
        """Start the tracker's run `name`, or continue it."""
        ...

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        """Send the numbers of a row. row: index of the row in the run. step: updates of its stage."""
        ...

    def close(self) -> None:
        """Send remaining numbers, and end."""
        ...

    @staticmethod
    def forget(folder: Path, name: str) -> None:
        """Remove local files of an interrupted run."""
        ...


def check(name: str) -> None:
    """Raise ValueError in one line for an unknown tracker or one that is not installed."""
    names = get_args(TrackerName)
    if name not in names:
        raise ValueError(f"track: no tracker {name!r}{suggest(name, names)}; known: {', '.join(names)}")
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"track={name} needs the extra track: pip install 'chainlift[track]'")


class _Mark(TypedDict):
    """Progress of a mirror."""

    name: str
    """Name of the tracker's run: the folder's with a unique ending, because other folders may share the name."""
    sent: int
    """Bytes of metrics.jsonl that were sent."""
    open: bool
    """Whether a process is sending, or was killed while sending: some rows may not have arrived."""


class Mirror:
    """Sends a folder's metrics to a tracker, continuing an earlier mirror."""

    def __init__(self, folder: RunFolder, name: str, config: dict[str, Any], warn: Callable[[str], None]) -> None:
        self.folder, self.name, self.config, self.warn = folder, name, config, warn
        self.backend = BACKENDS[name]
        self.tracker: Tracker | None = None
        self.mark = _Mark(name="", sent=0, open=False)
        self.is_off = False

    def update(self) -> None:
        """Send the rows added since the last call, and record the progress."""
        if not self.is_off:
            self._try(self._send)

    def close(self) -> None:
        """End the tracker's run after everything has arrived."""
        if self.tracker is not None:
            self._try(self._end)
            self.tracker = None

    def _send(self) -> None:
        if self.tracker is None:  # only now, because a shared stage has its own run first
            self._begin()
            self.tracker = self.backend(self.folder.path, self.mark["name"], self.config)
        with (self.folder.path / "metrics.jsonl").open("rb") as handle:
            first = handle.read(self.mark["sent"]).count(b"\n")
            for number, line in enumerate(handle.readlines(), start=first):
                row = reading.row(line, "metrics.jsonl")
                self.tracker.log(numbers(row), row=number, step=row["step"])
            self.mark["sent"] = handle.tell()
        self._keep_mark()

    def _begin(self) -> None:
        """Continue the mark of an earlier process, or make a new one if there is none or the process was killed."""
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
        except Exception as error:  # a tracker may fail in any way; the run continues
            message = one_line(str(error), longest=200)
            self.warn(f"{self.name} has failed and is off; the run continues: {type(error).__name__}: {message}")
            self.tracker, self.is_off = None, True


def is_whole(folder: RunFolder, name: str) -> bool:
    """Whether all rows of a folder have arrived at tracker `name`."""
    mark = _marks(folder).get(name)
    rows = folder.path / "metrics.jsonl"
    return mark is not None and not mark["open"] and rows.exists() and mark["sent"] == rows.stat().st_size


def _marks(folder: RunFolder) -> dict[str, _Mark]:
    """{tracker: mark} of a folder; ValueError if the file is damaged."""
    file = folder.path / MARK
    marks: dict[str, Any] = reading.json_mapping(file) if file.exists() else {}
    for name, mark in marks.items():
        shapes.check(mark, shapes.Mark, f"{file}, key {name},")
    return marks


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """Numbers of a metrics row, named `stage/name` or `stage/greedy/name`; other values are left out."""
    values: dict[str, float] = {}

    def collect(prefix: str, content: dict[str, Any]) -> None:
        for key, value in content.items():
            if isinstance(value, dict) and key != "length_histogram":
                collect(f"{prefix}/{key}", value)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                values[f"{prefix}/{key}"] = float(value)

    collect(row["stage"], {key: value for key, value in row.items() if key not in ("stage", "kind", "final")})
    return values


class _Tensorboard:
    """TensorBoard event files in the run folder; steps are a stage's updates."""

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
    """One wandb run, continued by its id; WANDB_MODE=offline keeps it in the run folder.

    An interrupted run stays on the server, marked as crashed.
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
    """One run in trackio's folder (TRACKIO_DIR), continued by its name."""

    def __init__(self, folder: Path, name: str, config: dict[str, Any]) -> None:
        import trackio

        self.trackio = trackio
        with contextlib.redirect_stdout(sys.stderr):  # it prints, but standard output is for results
            trackio.init(project=PROJECT, name=name, config=config, resume="allow", embed=False)

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        self.trackio.log(values, step=row)

    def close(self) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            self.trackio.finish()

    @staticmethod
    def forget(folder: Path, name: str) -> None:
        import trackio

        with contextlib.suppress(ValueError):  # the project does not exist: nothing had arrived
            for run in trackio.Api().runs(PROJECT):
                if run.name == name:
                    run.delete()


BACKENDS: dict[str, type[Tracker]] = {"trackio": _Trackio, "wandb": _Wandb, "tensorboard": _Tensorboard}
