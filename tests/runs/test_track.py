"""The real trackers, offline: each holds the numbers of metrics.jsonl, once, also after a kill."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainlift import recipe as recipes
from chainlift.report.terminal import Reporter
from chainlift.runs import track
from chainlift.runs.store import RunFolder
from chainlift.stages import pipeline
from tests.sweep.test_local import SMALL


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [track.numbers(row) for row in RunFolder(folder).rows()]


def run(out: Path, *overrides: str) -> Path:
    return pipeline.run(recipes.load("tiny", [*SMALL, *overrides]), out, Reporter(quiet=True), with_page=False).folder


def in_a_process_of_its_own(out: Path, *overrides: str) -> Path:
    """Trackers read their environment when they are imported, which another test may have done before."""
    code = "import sys; from pathlib import Path; from tests.runs.test_track import run; "
    code += "print(run(Path(sys.argv[1]), *sys.argv[2:]))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    command = [sys.executable, "-c", code, str(out), *overrides]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Path(done.stdout.splitlines()[-1])


def in_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def in_wandb(folder: Path) -> list[dict[str, float]]:
    """The history in an offline run's file: a LevelDB log of protocol buffers, after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    found: list[dict[str, float]] = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in leveldb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
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


def in_trackio(home: Path, run_id: str) -> list[dict[str, float]]:
    (database,) = home.glob("chainlift*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select metrics from metrics where run_name = ? order by step", (run_id,)).fetchall()
    return [json.loads(row[0]) for row in rows]


def test_every_tracker_is_a_mirror_and_changes_nothing(tmp_path: Path) -> None:
    plain = run(tmp_path / "plain")
    for name in ("tensorboard", "wandb", "trackio"):
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
            got = in_wandb(folder) if name == "wandb" else in_trackio(tmp_path / "trackio", folder.name)
            assert len(got) == len(expected)
            for mirrored, row in zip(got, expected, strict=True):
                assert {key: mirrored[key] for key in row} == pytest.approx(row)


def test_a_run_that_goes_on_mirrors_each_step_once(tmp_path: Path) -> None:
    """Killed by SIGKILL from within, at an update behind which no checkpoint stands."""
    code = f"""
import os, signal, sys
from pathlib import Path
from chainlift.runs.store import RunFolder
from tests.runs.test_track import run
real, seen = RunFolder.append, []
def append(self, file, rows):
    rows = list(rows)
    if any(row.get("kind") == "update" and row["step"] == 27 for row in rows):
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, file, rows)
if sys.argv[1] == "kill":
    RunFolder.append = append
run(Path({str(tmp_path)!r}), "posttrain=null", "track=tensorboard")
"""
    environment = {"PYTHONPATH": ":".join([str(Path(__file__).parents[2]), *sys.path])}
    first = subprocess.run([sys.executable, "-c", code, "kill"], env=environment)
    assert first.returncode == -9
    assert subprocess.run([sys.executable, "-c", code, "go on"], env=environment).returncode == 0
    (stage_1,) = tmp_path.glob("pretrain-*")
    assert [step for step, _ in in_tensorboard(stage_1)["pretrain/loss"]] == list(range(1, 41))


def test_a_tracker_that_breaks_is_off_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def log(self, values: dict[str, float], **where: int) -> None:
            raise ConnectionError("the server\nis gone")

        def close(self) -> None:
            raise AssertionError("a tracker that is off is left alone")

    said: list[str] = []
    monkeypatch.setitem(track.BACKENDS, "wandb", lambda folder, config: Broken())
    monkeypatch.setattr(Reporter, "say", lambda self, text: said.append(text))
    folder = run(tmp_path, "track=wandb")
    assert (folder / "DONE").exists()
    assert said.count("wandb is off from here on, the run is not: ConnectionError: the server is gone") == 2  # a stage


def test_unknown_and_missing_trackers_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"no tracker 'wandbb', did you mean 'wandb'\?"):
        recipes.load("tiny", ["track=wandbb"])
    monkeypatch.setattr(track.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"track=wandb needs the extra track: pip install 'chainlift\[track\]'"):
        recipes.load("tiny", ["track=wandb"])


def test_a_tracker_is_no_part_of_a_runs_identity() -> None:
    tracked: Any = recipes.load("headline", ["track=tensorboard"], seed=0)
    assert tracked.run_id == recipes.load("headline", [], seed=0).run_id == "headline-4d287e42-s0"
