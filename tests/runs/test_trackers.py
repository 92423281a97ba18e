"""The real trackers, offline: each holds the numbers of metrics.jsonl, once, also after a kill."""

import importlib
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import trackers
from chainlift.runs.store import RunFolder
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from tests.kills.processes import in_a_process
from tests.sweep.test_local import SMALL


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [trackers.numbers(row) for row in RunFolder(folder).rows()]


def run(out: Path, *overrides: str) -> Path:
    return pipeline.run(recipes.load("tiny", [*SMALL, *overrides]), out, Reporter(quiet=True)).folder


def forget_trackers() -> None:
    """Have this process, a forked one, import trackers anew: they read their environment when they are imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("wandb", "trackio")]:
        del sys.modules[name]


def in_a_process_of_its_own(out: Path, *overrides: str) -> Path:
    """The folder of the run."""

    def work() -> None:
        forget_trackers()
        run(out, *overrides)

    assert in_a_process(work) == 0
    (folder,) = out.glob("tiny-*")
    return folder


def mirror_of(folder: Path, tracker: str) -> Path:
    """Where a tracker keeps a run's mirror, or a path whose last part is the mirror's name."""
    return folder / tracker / json.loads((folder / trackers.MARK).read_text(encoding="utf-8"))[tracker]["name"]


def in_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(mirror_of(folder, "tensorboard")), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def in_wandb(folder: Path) -> list[dict[str, float]]:
    """The history in an offline run's file: a LevelDB log of protocol buffers, after a header of seven bytes."""
    messages = importlib.import_module("wandb.proto.wandb_internal_pb2")  # its types depend on protobuf's version

    found: list[dict[str, float]] = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in leveldb_records(file.read_bytes()):
            record = messages.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
                found.append({key: json.loads(value) for key, value in items.items() if not key.startswith("_")})
    return found


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """Records of a LevelDB log: blocks of 32 KiB, each piece behind 4 bytes checksum, 2 length, 1 kind (1: whole,
    2, 3, 4: first, middle, last).
    """
    place, pieces = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        pieces += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield pieces
            pieces = b""


def in_trackio(home: Path, folder: Path) -> list[dict[str, float]]:
    (database,) = home.glob("chainlift*.db")
    name, like = mirror_of(folder, "trackio").name, f"{folder.name}%"
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select run_name, metrics from metrics where run_name like ? order by step", (like,))
        found = rows.fetchall()
    assert {row[0] for row in found} == {name}  # nothing is left of a mirror that was cut off
    return [json.loads(row[1]) for row in found]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run without a tracker; tests must not change it."""
    return run(tmp_path_factory.mktemp("plain"))


HEAVY = [pytest.param(name, marks=[pytest.mark.slow, pytest.mark.smoke]) for name in ("wandb", "trackio")]


@pytest.mark.parametrize("name", ["tensorboard", *HEAVY])
def test_every_tracker_is_a_mirror_and_changes_nothing(name: str, plain: Path, tmp_path: Path) -> None:
    folder = in_a_process_of_its_own(tmp_path / name, f"track={name}")
    assert folder.name == plain.name
    for file in ("metrics.jsonl", "rollouts.jsonl"):
        assert (folder / file).read_bytes() == (plain / file).read_bytes()
    expected = rows_of(folder)
    assert len(expected) > 50
    if name == "tensorboard":
        found = in_tensorboard(folder)
        assert set(found) == {key for row in expected for key in row}
        for key in ("pretrain/loss", "posttrain/reward_mean", "pretrain/greedy/accuracy"):
            wanted = [(int(row[f"{key.split('/')[0]}/step"]), row[key]) for row in expected if key in row]
            assert [(step, pytest.approx(value, rel=1e-6)) for step, value in wanted] == found[key]
    else:
        got = in_wandb(folder) if name == "wandb" else in_trackio(tmp_path / "trackio", folder)
        assert len(got) == len(expected)
        for mirrored, row in zip(got, expected, strict=True):
            assert {key: mirrored[key] for key in row} == pytest.approx(row)


def run_until(point: str, out: Path, tracker: str) -> None:
    """Run in this process, a forked one, which SIGKILL ends at the point."""
    forget_trackers()

    def die(*arguments: Any, **where: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    backend: Any = trackers.BACKENDS[tracker]
    append, keep_mark, log = RunFolder.append, trackers.Mirror._keep_mark, backend.log

    def append_or_die(self: RunFolder, file: str, rows: Any) -> None:
        rows = list(rows)
        if file == "metrics.jsonl" and any(row["kind"] == "update" and row["step"] == 27 for row in rows):
            die()
        append(self, file, rows)

    def log_or_die(self: Any, values: dict[str, float], *, row: int, step: int) -> None:
        die() if row == 12 else log(self, values, row=row, step=step)

    def keep_mark_or_die(self: trackers.Mirror) -> None:
        die() if self.mark["sent"] else keep_mark(self)

    if point == POINTS[0]:
        RunFolder.append = append_or_die
    if point == POINTS[1]:
        backend.log = log_or_die
    if point == POINTS[2]:
        trackers.Mirror._keep_mark = keep_mark_or_die
    if point == POINTS[3]:
        backend.close = die
    run(out, "posttrain=null", f"track={tracker}")


POINTS = (
    "in an update behind which no checkpoint stands",
    "in the middle of sending",
    "between the last row and the mark",
    "when all has been sent",
)


@pytest.mark.parametrize(
    ("tracker", "point"),
    [
        *(("tensorboard", point) for point in POINTS),
        *(pytest.param(tracker, POINTS[2], marks=pytest.mark.slow) for tracker in ("wandb", "trackio")),
    ],
)
def test_a_run_that_was_killed_and_goes_on_mirrors_each_row_once(tmp_path: Path, tracker: str, point: str) -> None:
    """Killed by SIGKILL from within."""
    assert in_a_process(lambda: run_until(point, tmp_path, tracker)) == -signal.SIGKILL
    assert in_a_process(lambda: run_until("never", tmp_path, tracker)) == 0
    (folder,) = tmp_path.glob("tiny-*")
    rows = rows_of(folder)
    if tracker == "tensorboard":
        (_,) = (folder / "tensorboard").iterdir()
        assert [step for step, _ in in_tensorboard(folder)["pretrain/loss"]] == list(range(1, 41))
    else:
        got = in_wandb(folder) if tracker == "wandb" else in_trackio(tmp_path / "trackio", folder)
        assert [one["pretrain/step"] for one in got] == [one["pretrain/step"] for one in rows]


def test_a_run_made_again_has_a_mirror_of_its_own(tmp_path: Path) -> None:
    first, second = (mirror_of(run(tmp_path / out, "track=tensorboard"), "tensorboard") for out in ("a", "b"))
    assert first.parent.parent.name == second.parent.parent.name
    assert first.name != second.name


def test_a_tracker_that_breaks_is_off_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, folder: Path, name: str, config: dict[str, Any]) -> None:
            pass

        def log(self, values: dict[str, float], **where: int) -> None:
            raise ConnectionError("the server\nis gone")

        def close(self) -> None:
            raise AssertionError("a tracker that is off is left alone")

        @staticmethod
        def forget(folder: Path, name: str) -> None:
            raise AssertionError("nothing was cut off")

    said: list[str] = []
    monkeypatch.setitem(trackers.BACKENDS, "wandb", Broken)
    monkeypatch.setattr(Reporter, "say", lambda self, text: said.append(text))
    folder = run(tmp_path, "track=wandb")
    assert (folder / "DONE").exists()
    assert said.count("wandb has failed and is off; the run continues: ConnectionError: the server is gone") == 1


def test_unknown_and_missing_trackers_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"no tracker 'wandbb', did you mean 'wandb'\?"):
        recipes.load("tiny", ["track=wandbb"])
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"track=wandb needs the extra track: pip install 'chainlift\[track\]'"):
        recipes.load("tiny", ["track=wandb"])


def test_a_tracker_is_no_part_of_a_runs_identity() -> None:
    tracked: Any = recipes.load("headline", ["track=tensorboard"], seed=0)
    assert tracked.run_id == recipes.load("headline", [], seed=0).run_id


def test_a_finished_run_is_mirrored_when_it_is_asked_for(tmp_path: Path) -> None:
    """Once: the same command again finds that all of it has arrived, and begins no further mirror."""
    folder = run(tmp_path)
    assert not (folder / trackers.MARK).exists()
    assert run(tmp_path, "track=tensorboard") == folder
    sent = in_tensorboard(folder)
    assert sum(map(len, sent.values())) == sum(map(len, rows_of(folder)))
    mark = (folder / trackers.MARK).read_bytes()
    said: list[str] = []
    reporter = Reporter(quiet=True)
    reporter.say = said.append  # type: ignore[method-assign]
    recipe = recipes.load("tiny", [*SMALL, "track=tensorboard"])
    pipeline.run(recipe, tmp_path, reporter)
    assert said == [f"{recipe.run_id} is done already", "tensorboard has all of it already"]
    assert (folder / trackers.MARK).read_bytes() == mark
