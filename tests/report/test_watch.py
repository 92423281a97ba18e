"""What `chainlift watch` shows of runs that are done, at work, killed and failed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from chainlift.report.terminal.reporter import Reporter
from chainlift.report.terminal.watch import Pace, table
from chainlift.runs import progress
from chainlift.runs.progress import Progress, Watcher
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from chainlift.sweep.jobs import plan, work
from tests.conftest import chainlift
from tests.sweep.test_local import SMALL


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A done run, a failed one, one that was killed and one at work."""
    out = tmp_path_factory.mktemp("watched")
    short = [*SMALL, "posttrain=null"]
    pipeline.run(recipes.load("tiny", short, seed=0), out, Reporter(quiet=True))
    bad = recipes.load("tiny", [*short, "pretrain.lr=1e12", "pretrain.max_grad_norm=1e12"], seed=0)
    assert work(plan([bad], out)[0]) == "failed"
    working = [start(out, *short, "pretrain.steps=100000", f"seed={seed}") for seed in (1, 2)]
    for seed in (1, 2):
        while not list(out.glob(f"tiny-*-s{seed}/checkpoints/pretrain-*/state.json")):
            assert all(one.poll() is None for one in working)
            time.sleep(0.05)
    working[0].kill()
    working[0].wait()
    yield out
    working[1].kill()
    working[1].wait()


def start(out: Path, *overrides: str) -> subprocess.Popen[bytes]:
    code = "from chainlift.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "tiny", *overrides, "--out", str(out)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def by_id(out: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads(chainlift("watch", out, "--json").stdout)
    return {row["run_id"].rsplit("-", 2)[0] + row["run_id"][-3:] + row["state"]: row for row in rows}


def test_states_stages_and_what_was_measured(out: Path) -> None:
    found = by_id(out)
    assert set(found) == {"tiny-s0done", "tiny-s0failed", "tiny-s1stopped", "tiny-s2running"}
    assert found["tiny-s2running"]["stage"] == "pretrain"
    assert found["tiny-s2running"]["total"] == 100000
    assert 0 < found["tiny-s2running"]["step"] < 100000
    assert "training diverged" in found["tiny-s0failed"]["note"]
    done = found["tiny-s0done"]
    assert (done["step"], done["total"]) == (40, 40)
    assert done["greedy_length"] is not None
    told = chainlift("watch", out, "--once").stdout
    assert "1 running" in told  # the folders of shared stages are no runs
    assert "1 failed" in told


def test_looking_does_not_hold_a_lock(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: (opened.append(self.name), real(self, *a, **k))[1])
    Watcher(out).poll()
    assert ".lock" not in opened


def test_a_system_that_lists_no_locks_is_judged_by_what_grew(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOCKS", Path("/nowhere"))
    states = {one.run_id.split("-")[0] + one.run_id[-3:]: one.state for one in Watcher(out).poll()}
    assert states["tiny-s2"] == "running"
    monkeypatch.setattr(progress, "RECENT_SECONDS", -1)
    states = {one.run_id.split("-")[0] + one.run_id[-3:]: one.state for one in Watcher(out).poll()}
    assert states["tiny-s2"] == "stopped"


def test_a_run_on_another_machine_is_judged_by_what_grew(out: Path, tmp_path: Path) -> None:
    """Its lock is not in this machine's list."""
    killed = next(path for path in out.glob("tiny-*-s1"))
    copy = tmp_path / killed.name
    shutil.copytree(killed, copy)
    (copy / "metrics.jsonl").touch()
    (one,) = Watcher(tmp_path).poll()
    assert one.state == "stopped"
    environment = json.loads((copy / "environment.json").read_text(encoding="utf-8"))
    (copy / "environment.json").write_text(json.dumps(environment | {"host": "another"}), encoding="utf-8")
    (one,) = Watcher(tmp_path).poll()
    assert one.state == "running"
    os.utime(copy / "metrics.jsonl", (0, 0))
    (one,) = Watcher(tmp_path).poll()
    assert one.state == "stopped"


def test_a_half_written_row_and_a_damaged_folder_do_no_harm(tmp_path: Path, out: Path) -> None:
    done = next(path for path in out.glob("tiny-*") if (path / "DONE").exists())
    copy = tmp_path / "runs" / done.name
    copy.mkdir(parents=True)
    for name in ("recipe.yaml", "metrics.jsonl"):
        (copy / name).write_bytes((done / name).read_bytes())
    with (copy / "metrics.jsonl").open("a", encoding="utf-8") as handle:
        handle.write('{"stage": "pretr')
    (tmp_path / "runs/broken").mkdir()
    (tmp_path / "runs/broken/recipe.yaml").write_text("{", encoding="utf-8")
    found = {one.run_id: one for one in Watcher(tmp_path / "runs").poll()}
    assert (found[done.name].state, found[done.name].step) == ("stopped", 40)
    assert found["broken"].state == "damaged"


def test_time_left_comes_from_the_pace_seen() -> None:
    pace = Pace()
    assert pace.seconds_left(Progress("a", "running", "pretrain", 100, 500), 10.0) is None
    assert pace.seconds_left(Progress("a", "running", "pretrain", 200, 500), 20.0) == pytest.approx(30)
    assert pace.seconds_left(Progress("a", "running", "posttrain", 1, None), 20.0) is None

    assert pace.seconds_left(Progress("a", "stopped", "pretrain", 250, 500), 30.0) is None
    assert pace.seconds_left(Progress("a", "running", "pretrain", 250, 500), 1000.0) is None  # goes on after a pause
    assert pace.seconds_left(Progress("a", "running", "pretrain", 300, 500), 1010.0) == pytest.approx(40)


def test_the_table_fits_the_screen() -> None:
    many = [Progress(f"headline-12345678-s{n}", "running", "pretrain", n, 100, 0.5, 1) for n in range(50)]
    console = Console(width=80, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    console.print(table(many, Pace(), 0.0, rows=10))
    lines = console.export_text().splitlines()
    assert len(lines) == 1 + 10 + 1
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "50 running   and 40 more"
    assert "headline-12345678-s0" in lines[1]
    assert "running" in lines[1]


def test_it_ends_with_ctrl_c_and_a_missing_folder_is_one_line(out: Path, tmp_path: Path) -> None:
    code = "from chainlift.cli import main; main()"
    command = [sys.executable, "-c", code, "watch", str(out), "--every", "0.1"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    time.sleep(5)
    watching.send_signal(signal.SIGINT)
    told, _ = watching.communicate(timeout=20)
    assert watching.returncode == 0
    assert "running" in told
    done = chainlift("watch", tmp_path / "absent")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_finished_run_shows_what_it_is_about_and_not_its_baseline(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    (run,) = [one for one in Watcher(finished.parent).poll() if one.run_id == finished.name]
    assert (run.stage, run.step, run.total) == ("posttrain", 20, 20)
    assert run.greedy_accuracy == summary["posttrain"]["greedy_accuracy"]
    assert run.greedy_length == summary["posttrain"]["greedy_length_median"]
