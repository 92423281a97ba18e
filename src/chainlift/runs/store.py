"""The run folder: its files, its lock, and the only code that writes into it (figures and pages of report excepted).

Rows are appended and flushed one by one; a checkpoint remembers how long the files were, and going on from it cuts them
back to that length. So what a killed process wrote after its last checkpoint is written again, the same, and never
twice.

Only the holder of the lock works in a folder. It is a lock of the operating system (flock), which ends with the process
that holds it, however that ends, so a killed run leaves nothing to clear away. Between machines it is as good as the
folder's file system. NFS 4 and parallel file systems that are mounted with cluster-wide locks keep it; a machine that
goes down while it holds one sets it free when the server gives the machine up (about 90 seconds with NFS 4, only after
its return with NFS 3). Where locks stay on one machine (NFS with local_lock, Lustre with localflock), nothing but the
launcher keeps two machines apart: start one sweep at a time there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainlift import reading, yaml_text
from chainlift.runs import shapes
from chainlift.visible import visible

APPENDED = ("metrics.jsonl", "rollouts.jsonl")
LARGEST_FAILURE = 2**20  # bytes
LARGEST_RECORD = 2**34
LOCK_SECONDS = 0.25  # between two tries to get a lock that another process holds


class RunFolder:
    """A run's folder; create one with `RunFolder.open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    @classmethod
    def open(cls, path: Path, recipe: dict[str, Any], identity: str) -> RunFolder:
        """The folder at `path`, made if need be; ValueError if it cannot be written or holds another recipe's run."""
        folder = cls(path)
        try:
            folder.checkpoints.mkdir(parents=True, exist_ok=True)
            marker, readable = path / ".identity", path / "recipe.yaml"
            # Several processes may come at once: a recipe is looked for before its marker, and written after it.
            has_recipe = readable.exists()
            if not marker.exists():
                if has_recipe:
                    raise ValueError(f"{path} holds files of another run; choose another --out or use --fresh")
                write_atomically(marker, identity)
            if not has_recipe and reading.text(marker) == identity:
                write_atomically(readable, yaml_text.dump(recipe))
            found = reading.text(marker)
        except OSError as error:
            raise ValueError(f"cannot write into {path}: {error.strerror}; choose another --out") from error
        if found != identity:
            raise ValueError(f"{path} is the run of another recipe; choose another --out or use --fresh")
        return folder

    @contextmanager
    def lock(self, *, wait: bool, meanwhile: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the folder for this process, until it ends; ValueError if another holds it and `wait` is off.

        meanwhile: called again and again while waiting; what it raises ends the waiting.
        """
        with (self.path / ".lock").open("w", encoding="utf-8") as handle:
            while True:  # not one blocking call: that would go on through a signal that asks to stop
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if not wait:
                        raise ValueError(f"another process is at work in {self.path}") from error
                if meanwhile is not None:
                    meanwhile()
                time.sleep(LOCK_SECONDS)
            yield

    @property
    def done(self) -> bool:
        """Whether the run has come to its end."""
        return (self.path / "DONE").exists()

    @property
    def failure(self) -> str | None:
        """The last lines of what ended the run, None if nothing did; where they are damaged, that they are."""
        file = self.path / "FAILED"
        try:
            return reading.text(file, largest=LARGEST_FAILURE).strip() if file.exists() else None
        except ValueError as error:
            return f"the reason is lost: {error}"

    @property
    def failure_line(self) -> str:
        """The last of those lines, which names what went wrong."""
        return next(reversed((self.failure or "").splitlines()), "no reason on record")

    def fail(self, lines: str) -> None:
        """Keep the last lines of what ended the run; a later success takes them away."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "FAILED", lines + "\n")

    def forget_failure(self) -> None:
        """Take a kept failure away, before another try."""
        (self.path / "FAILED").unlink(missing_ok=True)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write summary.json, then the marker DONE."""
        write_atomically(self.path / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
        write_atomically(self.path / "DONE", "")

    def recipe(self) -> dict[str, Any]:
        """Keys and values of recipe.yaml; ValueError if it is missing or damaged."""
        file = self.path / "recipe.yaml"
        if not file.exists():
            raise ValueError(f"{self.path} is not a run folder: it has no recipe.yaml")
        return reading.yaml_mapping(file)

    def summary(self) -> dict[str, Any]:
        """summary.json; ValueError if it is missing or damaged."""
        file = self.path / "summary.json"
        try:
            found = reading.json_mapping(file)
            shapes.check(found, shapes.Summary, visible(str(file)))
        except ValueError as error:
            raise ValueError(f"{error}; use --fresh to begin again") from error
        return found

    def take_records(self, other: RunFolder) -> None:
        """Begin the appended files with those of another run folder."""
        for file in APPENDED:
            write_atomically(self.path / file, reading.text(other.path / file, largest=LARGEST_RECORD))

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write environment.json."""
        write_atomically(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")

    def append(self, file: str, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows to metrics.jsonl or rollouts.jsonl; NaN and infinity are refused."""
        assert file in APPENDED
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        with (self.path / file).open("a", encoding="utf-8") as handle:
            handle.write(text)

    def lengths(self) -> dict[str, int]:
        """Bytes of each appended file, made durable first: what a checkpoint remembers."""
        found = {}
        for file in APPENDED:
            with (self.path / file).open("ab") as handle:
                os.fsync(handle.fileno())
                found[file] = handle.tell()
        return found

    def rewind(self, lengths: dict[str, int]) -> None:
        """Cut the appended files back to `lengths`; ValueError if one is shorter than that."""
        for file in APPENDED:
            path, length = self.path / file, lengths.get(file, 0)
            size = path.stat().st_size if path.exists() else 0
            if size < length:
                raise ValueError(f"{path} is shorter than its checkpoint says; use --fresh to begin again")
            with path.open("ab") as handle:
                handle.truncate(length)

    def rows(self, file: str = "metrics.jsonl") -> list[dict[str, Any]]:
        """All rows of an appended file; ValueError names the line that is damaged."""
        return read_rows(self.path / file)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a jsonl file, [] if there is none; ValueError names the line that is damaged."""
    return list(reading.rows(path)) if path.exists() else []


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a crash, sees the old content or the new and nothing between."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")  # process ids repeat between machines
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a run folder; what is no run folder is left alone with a ValueError."""
    if path.exists():
        if not (path / ".identity").exists() and not (path / "recipe.yaml").exists():
            raise ValueError(f"{path} is not a run folder; it is left alone")
        shutil.rmtree(path)
