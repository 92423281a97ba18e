"""`chainlift sweep` as users meet it: costs, status, failures, kill -9, and bad input."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import chainlift
from tests.sweep.test_local import SMALL, workers_of

RATES = "posttrain.lr=1e-4,2e-4"


def small(arguments: tuple[str, ...]) -> list[str]:
    """The small settings, but for those that are given."""
    given = {argument.partition("=")[0] for argument in arguments}
    return [one for one in SMALL if one.partition("=")[0] not in given]


def sweep(out: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return chainlift("sweep", "tiny", *small(arguments), *arguments, "--out", out, "--workers", "2", "--threads", "1")


def start(out: Path, *arguments: str) -> "subprocess.Popen[str]":
    code = "from chainlift.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "sweep",
        "tiny",
        *small(arguments),
        *arguments,
        "--out",
        str(out),
        "--workers",
        "2",
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_a_dry_run_lists_runs_with_their_cost_and_writes_nothing(tmp_path: Path) -> None:
    told = sweep(tmp_path / "runs", RATES, "--seeds", "0-1", "--dry-run").stdout.splitlines()
    assert len(told) == 5
    assert all(re.fullmatch(r".*/tiny-\w{8}-s[01]  about [\d.]+ s", line) for line in told[:4])
    assert re.fullmatch(r"4 of 4 runs to do, about [\d.]+ s on one worker, at least [\d.]+ s on 2", told[-1])
    seconds = [float(line.split()[-2]) for line in told[:4]]
    assert not (tmp_path / "runs").exists()
    assert all(value >= 0 for value in seconds)
    in_json = sweep(tmp_path / "runs", RATES, "--seeds", "0-1", "--dry-run", "--json").stdout.splitlines()
    assert list(json.loads(in_json[-1])) == [line.split()[0].rpartition("/")[2] for line in told[:4]]


@pytest.mark.slow
def test_status_failures_and_retry(tmp_path: Path) -> None:
    arguments = (RATES, "pretrain.lr=1e-3,1e12", "pretrain.max_grad_norm=1e12")
    before = sweep(tmp_path, *arguments, "--status")
    assert before.stdout.splitlines()[-1] == "0 done, 0 failed, 0 begun, 4 missing"
    done = sweep(tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: 2 of 4 runs failed; --retry tries them again, with the same command"
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["state", "lr", "lr", "run"]
    assert lines[-1] == "2 done, 2 failed, 0 begun, 0 missing"
    assert sum("training diverged" in line for line in lines) == 2
    costs = sweep(tmp_path, *arguments, "--dry-run").stdout.splitlines()
    assert len(costs) == 1  # what failed is left alone
    assert costs[0].startswith("0 of 4 runs to do")
    assert len(sweep(tmp_path, *arguments, "--dry-run", "--retry").stdout.splitlines()) == 3
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("tiny-*/metrics.jsonl")}
    again = sweep(tmp_path, *arguments, "--json")
    assert again.returncode == 1  # left alone, and still told
    rows = json.loads(again.stdout.splitlines()[-1])
    assert sorted(row["state"] for row in rows) == ["done", "done", "failed", "failed"]
    assert rows[0]["settings"] == {"pretrain.lr": "0.001", "posttrain.lr": "0.0001"}
    assert "  1/" not in again.stderr
    retried = sweep(tmp_path, *arguments, "--retry")
    assert "failed: training diverged" in retried.stderr or "failed: error" in retried.stderr
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


@pytest.mark.slow
def test_killed_with_its_workers_and_run_again_it_ends_with_the_same_numbers(tmp_path: Path) -> None:
    """SIGKILL to a worker, then to the driver and every worker; the same command then completes the sweep."""
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    grid = (RATES, "--seeds", "0-1")
    long = "pretrain.steps=300"
    assert sweep(calm, long, *grid).returncode == 0
    driver = start(killed, long, *grid)
    wait_for(killed, "shared-pretrain-*/checkpoints/pretrain-*/state.json", 2, driver)
    os.kill(workers_of(driver.pid)[0], signal.SIGKILL)
    wait_for(killed, "tiny-*/recipe.yaml", 1, driver)
    workers = workers_of(driver.pid)
    driver.kill()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    driver.wait()
    assert len(list(killed.glob("tiny-*/DONE"))) < 4
    assert sweep(killed, long, *grid).returncode == 0
    runs = sorted(path.parent.name for path in calm.glob("tiny-*/DONE"))
    assert len(runs) == 4
    for run in runs:
        for name in ("metrics.jsonl", "rollouts.jsonl"):
            assert (calm / run / name).read_bytes() == (killed / run / name).read_bytes()
        first, second = (json.loads((out / run / "summary.json").read_text(encoding="utf-8")) for out in (calm, killed))
        for stage in ("pretrain", "posttrain"):
            for one in (first, second):
                del one[stage]["seconds"]
        assert first == second


@pytest.mark.slow
def test_ctrl_c_keeps_checkpoints_and_says_how_to_go_on(tmp_path: Path) -> None:
    driver = start(tmp_path, "pretrain.steps=100000", RATES)
    wait_for(tmp_path, "shared-pretrain-*/checkpoints/pretrain-*/state.json", 1, driver)
    driver.send_signal(signal.SIGINT)
    _, told = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert told.splitlines()[-1] == "stopped; the same command goes on from the last checkpoint"
    assert not workers_of(driver.pid)


def wait_for(out: Path, pattern: str, count: int, driver: "subprocess.Popen[str]") -> None:
    for _ in range(1200):
        if len(list(out.glob(pattern))) >= count:
            return
        assert driver.poll() is None
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} in a minute")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["task.dd=6,8"], "task.dd: unknown key, did you mean 'd'?"),
        (["task.d="], "task.d: the grid has no value"),
        (["task.d=5..1"], "task.d: 5..1 is not a range"),
        (["task.d"], "is not an axis of a grid"),
        (["task.d=6,8", "pretrain.steps=1,2,3", "--zip"], "--zip needs axes of one length"),
        (["--launcher", "rai"], "--launcher: 'rai' is not one of local, ray, slurm, did you mean 'ray'?"),
        (["--launcher", "ray", "--address", "127.0.0.1:1"], "--address: no Ray cluster answers at 127.0.0.1:1"),
        (["--launcher", "slurm"], "the command sbatch is missing"),
        (["--address", "127.0.0.1:1"], "--address goes with --launcher ray only"),
        (["--workers", "0"], "Invalid value for '--workers'"),
        (["--seeds", "x"], "--seeds"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(arguments: list[str], told: str, tmp_path: Path) -> None:
    done = chainlift("sweep", "tiny", *arguments, "--out", tmp_path / "runs")
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("launcher", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_launcher_whose_extra_is_missing_says_how_to_get_it(launcher: str, module: str, tmp_path: Path) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from chainlift.cli import main; main()"
    command = [sys.executable, "-c", code, "sweep", "tiny", "--launcher", launcher, "--out", str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        done.stderr == f"error: --launcher {launcher} needs the extra {launcher}: pip install 'chainlift[{launcher}]'\n"
    )
