"""The run folder: its files and its lock. Only this module writes into it, except for figures and pages (report).

Rows are appended and flushed one by one. A checkpoint records the lengths of the files, and continuing from it cuts
them back to these lengths. So rows that a killed process wrote after its last checkpoint are written again, equal and
never twice.

Only the holder of the lock (lock.py) works in a folder. It first removes leftovers of killed processes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chainlift import reading, yaml_text
from chainlift.reading import StrPath
from chainlift.runs import durable, lock, shapes
from chainlift.runs.durable import write_file
from chainlift.visible import visible

APPENDED = ("metrics.jsonl", "rollouts.jsonl")
LARGEST_FAILURE = 2**20  # bytes
MARKER, RECIPE = ".identity", "recipe.yaml"
OPENING_SECONDS = 60.0  # for another process that opens the same folder at the same time


class _NamedMeanwhile(Exception):
    """Another process has given the folder its identity."""


class RunFolder:
    """A run's folder; create one with `RunFolder.open`."""

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"

    @classmethod
    def open(cls, path: Path, recipe: dict[str, Any], identity: str, *, fresh: bool = False) -> RunFolder:
        """Open the folder at `path`, created if necessary. fresh: empty it first.

        ValueError if it cannot be written or holds another recipe's run; with `fresh`, if it is in use or is not a run
        folder.
        """
        folder = cls(path)
        try:
            if fresh and path.exists():
                folder._must_be_a_run()
                with folder.lock(wait=False):
                    folder.begin_again(recipe, identity)
            elif not folder._is_named():
                durable.make_folder(path)
                with suppress(_NamedMeanwhile), folder.lock(wait=True, meanwhile=folder._patience()):
                    folder._name(recipe, identity)
            folder.must_be(identity)
        except OSError as error:
            if durable.is_full(error):
                raise
            raise ValueError(f"cannot write into {path}: {error.strerror}; choose another --out") from error
        return folder

    def must_be(self, identity: str) -> None:
        """Raise ValueError if the folder is the run of another recipe."""
        if reading.text(self.path / MARKER) != identity:
            raise ValueError(f"{self.path} is the run of another recipe; choose another --out or use --fresh")

    @contextmanager
    def lock(self, *, wait: bool, meanwhile: Callable[[], None] | None = None) -> Iterator[None]:
        """Lock the folder for this process inside the block; InUse, a ValueError, if it is locked and `wait` is off.

        meanwhile: called repeatedly while waiting; an error that it raises ends the waiting.
        """
        with lock.hold(self.path, wait=wait, meanwhile=meanwhile):
            durable.clean_up(self.path)
            durable.clean_up(self.checkpoints)
            yield

    def begin_again(self, recipe: dict[str, Any], identity: str) -> None:
        """Empty the folder, which this process must have locked; after a kill at any point the run can be continued.

        The lock file stays, because two processes with different lock files would not exclude each other.
        """
        self._empty()
        for name in (RECIPE, MARKER):
            (self.path / name).unlink(missing_ok=True)
            durable.sync(self.path)
        self._name(recipe, identity)

    def clear(self, recipe: dict[str, Any]) -> None:
        """Empty the folder as `begin_again` does, but keep its identity, so that others can open it meanwhile."""
        self._empty()
        write_file(self.path / RECIPE, yaml_text.dump(recipe))
        durable.make_folder(self.checkpoints)

    def _empty(self) -> None:
        # First the page, then the marker, then the rest: no part of the old run can pass for the new one's.
        for name in ("report.html", "DONE", "summary.json"):
            (self.path / name).unlink(missing_ok=True)
            durable.sync(self.path)
        if self.checkpoints.exists():
            durable.discard(self.checkpoints)
        for path in sorted(self.path.iterdir()):
            if path.name not in (lock.FILE, MARKER, RECIPE):
                durable.delete(path)

    def _name(self, recipe: dict[str, Any], identity: str) -> None:
        """Write the marker, then the recipe, if missing; ValueError if the folder holds another run's files."""
        if not (self.path / MARKER).exists():
            if (self.path / RECIPE).exists():
                raise ValueError(f"{self.path} holds files of another run; choose another --out or use --fresh")
            write_file(self.path / MARKER, identity)
        if not (self.path / RECIPE).exists() and reading.text(self.path / MARKER) == identity:
            write_file(self.path / RECIPE, yaml_text.dump(recipe))
        durable.make_folder(self.checkpoints)

    def _is_named(self) -> bool:
        return all(path.exists() for path in (self.path / MARKER, self.path / RECIPE, self.checkpoints))

    def _patience(self) -> Callable[[], None]:
        """A check that ends the waiting for another process that opens the folder."""
        end = time.monotonic() + OPENING_SECONDS

        def check() -> None:
            if self._is_named():  # by another process, which may keep the lock for long
                raise _NamedMeanwhile
            if time.monotonic() > end:
                raise lock.InUse(f"another process is at work in {self.path}")

        return check

    def _must_be_a_run(self) -> None:
        """Raise ValueError if the folder is neither empty nor a run's, so it must not be emptied."""
        names = {path.name for path in self.path.iterdir() if not path.name.startswith(durable.TEMPORARY)} - {lock.FILE}
        if names and not names & {MARKER, RECIPE}:
            raise ValueError(f"{self.path} is not a run folder, so it is not emptied")

    @property
    def done(self) -> bool:
        """Whether the run is complete."""
        return (self.path / "DONE").exists()

    @property
    def failure(self) -> str | None:
        """Last lines of the error that ended the run; None without one. A damaged file is reported instead."""
        file = self.path / "FAILED"
        try:
            return reading.text(file, largest=LARGEST_FAILURE).strip() if file.exists() else None
        except ValueError as error:
            return f"the reason is lost: {error}"

    @property
    def failure_line(self) -> str:
        """The last line of `failure`, which names the error."""
        return next(reversed((self.failure or "").splitlines()), "no reason on record")

    def fail(self, lines: str) -> None:
        """Record the last lines of the error that ended the run; a later success removes them."""
        durable.make_folder(self.path)
        write_file(self.path / "FAILED", lines + "\n")

    def forget_failure(self) -> None:
        """Remove a recorded failure before another try."""
        file = self.path / "FAILED"
        if file.exists():  # a run of a sweep has no folder yet
            file.unlink(missing_ok=True)
            durable.sync(self.path)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write summary.json, then the marker DONE; first remove other folders beside the checkpoints.

        A kill right after a stage's last checkpoint leaves checkpoints of its trainer, which are no longer needed.
        """
        for path in sorted(self.checkpoints.iterdir()):
            if path.is_dir() and not durable.is_whole(path):
                durable.discard(path)
        write_file(self.path / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
        write_file(self.path / "DONE", "")

    def recipe(self) -> dict[str, Any]:
        """Read recipe.yaml; ValueError if it is missing or damaged."""
        file = self.path / "recipe.yaml"
        if not file.exists():
            raise ValueError(f"{self.path} is not a run folder: it has no recipe.yaml")
        return reading.yaml_mapping(file)

    def summary(self) -> dict[str, Any]:
        """Read summary.json; ValueError if it is missing or damaged."""
        file = self.path / "summary.json"
        try:
            content = reading.json_mapping(file)
            shapes.check(content, shapes.Summary, visible(str(file)))
        except ValueError as error:
            raise ValueError(f"{error}; use --fresh to begin again") from error
        return content

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write environment.json."""
        write_file(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")

    def append(self, file: str, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows to metrics.jsonl or rollouts.jsonl; ValueError for NaN and infinity."""
        assert file in APPENDED
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        path = self.path / file
        with durable.naming(path), path.open("a", encoding="utf-8") as handle:
            handle.write(text)

    def lengths(self) -> dict[str, int]:
        """{file: bytes} of the appended files, synced to disk first; a checkpoint records it."""
        lengths = {}
        for file in APPENDED:
            path = self.path / file
            with durable.naming(path), path.open("ab") as handle:
                os.fsync(handle.fileno())
                lengths[file] = handle.tell()
        durable.sync(self.path)
        return lengths

    def rewind(self, lengths: dict[str, int]) -> None:
        """Cut the appended files back to `lengths`; ValueError if one is shorter than that."""
        self.must_have(lengths)
        for file in APPENDED:
            path = self.path / file
            with durable.naming(path), path.open("ab") as handle:
                handle.truncate(lengths.get(file, 0))

    def must_have(self, lengths: dict[str, int]) -> None:
        """Raise ValueError if an appended file is shorter than its checkpoint records."""
        for file in APPENDED:
            path = self.path / file
            size = path.stat().st_size if path.exists() else 0
            if size < lengths.get(file, 0):
                raise ValueError(f"{path} is shorter than its checkpoint says; use --fresh to begin again")

    def rows(self, file: str = "metrics.jsonl") -> list[dict[str, Any]]:
        """All rows of an appended file; ValueError names a damaged line."""
        return read_rows(self.path / file)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a jsonl file, [] if it does not exist; ValueError names a damaged line."""
    return list(reading.rows(path)) if path.exists() else []
