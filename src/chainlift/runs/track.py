"""A tracker that mirrors a run's metrics, when it is asked for: trackio, wandb or tensorboard.

The run folder's own record comes first. Rows are mirrored once a checkpoint stands behind them, from where the last
mirroring ended, so that a run which goes on after a kill shows no step twice and none that was taken back. What goes
wrong in a tracker ends the mirroring, not the run.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from chainlift.runs.store import RunFolder, write_atomically
from chainlift.settings import suggest

TrackerName = Literal["trackio", "wandb", "tensorboard"]
PROJECT = "chainlift"
MARK = ".mirrored"
"""File of a run folder: {tracker: bytes of metrics.jsonl that it has seen}."""


class Tracker(Protocol):
    """Where numbers are sent."""

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        """Send a row's numbers; `row` counts the rows of a run, `step` the updates of its stage."""
        ...

    def close(self) -> None:
        """Send what is left, and end."""
        ...


def check(name: str) -> None:
    """ValueError in one line for a tracker that is not known or not installed."""
    known = get_args(TrackerName)
    if name not in known:
        raise ValueError(f"track: no tracker {name!r}{suggest(name, known)}; known: {', '.join(known)}")
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"track={name} needs the extra track: pip install 'chainlift[track]'")


class Mirror:
    """Sends a folder's metrics to a tracker, from where it ended before."""

    def __init__(self, folder: RunFolder, name: str, config: dict[str, Any], warn: Callable[[str], None]) -> None:
        self.folder, self.name, self.config, self.warn = folder, name, config, warn
        self.tracker: Tracker | None = None
        self.is_off = False

    def update(self) -> None:
        """Send the rows that came since the last time, and remember how far that was."""
        if not self.is_off:
            self._try(self._send)

    def close(self) -> None:
        """End the tracker's run."""
        if self.tracker is not None:
            self._try(self.tracker.close)
            self.tracker = None

    def _send(self) -> None:
        if self.tracker is None:  # not before there is something to send: a shared stage 1 has a run of its own first
            self.tracker = BACKENDS[self.name](self.folder.path, self.config)
        file = self.folder.path / "metrics.jsonl"
        seen = self._seen()
        sent = seen.get(self.name, 0)
        with file.open("rb") as handle:
            before = handle.read(sent).count(b"\n")
            lines = handle.readlines()
        for number, line in enumerate(lines, start=before):
            row = json.loads(line)
            self.tracker.log(numbers(row), row=number, step=row["step"])
        write_atomically(self.folder.path / MARK, json.dumps(seen | {self.name: sent + sum(map(len, lines))}))

    def _seen(self) -> dict[str, int]:
        mark = self.folder.path / MARK
        return json.loads(mark.read_text()) if mark.exists() else {}

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a tracker may fail in any way; the run goes on
            told = " ".join(str(error).split())[:200]
            self.warn(f"{self.name} is off from here on, the run is not: {type(error).__name__}: {told}")
            self.tracker, self.is_off = None, True


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a metrics row as `stage/name`, or `stage/greedy/name`; what is no number is left out."""
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

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"))
        self.writer.add_text("recipe", "    " + json.dumps(config, indent=2).replace("\n", "\n    "))

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    """One run of the project, gone on with by its id; WANDB_MODE=offline keeps it in the run folder."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        import wandb

        self.run = wandb.init(
            project=PROJECT,
            name=folder.name,
            id=folder.name,
            resume="allow",
            dir=str(folder),
            config=config,
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        self.run.log(values, step=row)

    def close(self) -> None:
        self.run.finish()


class _Trackio:
    """One run of the project in trackio's own folder (TRACKIO_DIR), gone on with by its name."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        import trackio

        self.trackio = trackio
        trackio.init(project=PROJECT, name=folder.name, config=config, resume="allow", embed=False)

    def log(self, values: dict[str, float], *, row: int, step: int) -> None:
        self.trackio.log(values, step=row)

    def close(self) -> None:
        self.trackio.finish()


BACKENDS: dict[str, Callable[[Path, dict[str, Any]], Tracker]] = {
    "trackio": _Trackio,
    "wandb": _Wandb,
    "tensorboard": _Tensorboard,
}
