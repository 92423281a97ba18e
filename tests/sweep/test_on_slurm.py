"""Slurm's launcher on submitit's own executor, with real processes and signals; and what it asks Slurm for."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from chainlift.stages import recipe as recipes
from chainlift.sweep import local, on_slurm
from chainlift.sweep.jobs import plan
from tests.sweep.test_local import SMALL, grid


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_slurm, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(on_slurm, "RESULT_SECONDS", 1.0)


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in ("metrics.jsonl", "rollouts.jsonl"))


def working(out: Path) -> int:
    """The process that has kept a checkpoint of a stage 1 under `out`, once there is one."""
    while not list(out.glob("tiny-*/checkpoints/pretrain-*/state.json")):
        time.sleep(0.05)
    found = subprocess.run(["pgrep", "-f", f"submitit.core._submit {out}/slurm"], capture_output=True, text=True)
    return int(found.stdout.split()[0])


@pytest.mark.slow
def test_runs_end_with_the_numbers_of_the_local_launcher_and_a_failure_is_kept(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    local.run_jobs(grid(here, "posttrain.lr=1e-4,2e-4"), lambda *told: None, workers=2)
    jobs = grid(there, "posttrain.lr=1e-4,2e-4")
    bad = recipes.load("tiny", [*SMALL, "pretrain.lr=1e12", "pretrain.max_grad_norm=1e12"], seed=0)
    told: dict[str, str] = {}
    everything = [*jobs, jobs[-1], *plan([bad], there)]  # one of them twice, at the same time
    assert on_slurm.run_jobs(
        everything, lambda job, status, seconds: told.update({job.run_id: status}), executor="local", workers=2
    )
    assert told == {job.run_id: "done" for job in jobs} | {bad.run_id: "failed"}
    assert "training diverged" in (there / bad.run_id / "FAILED").read_text(encoding="utf-8")
    assert all(same(here / job.run_id, there / job.run_id) for job in jobs if not job.is_shared)
    assert len(list((there / "slurm").glob("*_log.out"))) == 5


@pytest.mark.slow
def test_a_killed_job_is_told_and_the_same_call_completes_it(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    local.run_jobs(grid(calm, "pretrain.steps=200"), lambda *told: None, workers=1)
    (job,) = grid(killed, "pretrain.steps=200")
    threading.Thread(target=lambda: os.kill(working(killed), signal.SIGKILL), daemon=True).start()
    told: list[str] = []
    assert on_slurm.run_jobs([job], lambda job, status, seconds: told.append(status), executor="local")
    assert told == ["failed"]
    assert "was ended from outside; the logs are" in (killed / job.run_id / "FAILED").read_text(encoding="utf-8")
    assert on_slurm.run_jobs([job], lambda job, status, seconds: told.append(status), executor="local")
    assert told == ["failed", "done"]
    assert not (killed / job.run_id / "FAILED").exists()
    assert same(calm / job.run_id, killed / job.run_id)


@pytest.mark.slow
def test_a_warned_job_keeps_a_checkpoint_and_is_queued_again(tmp_path: Path) -> None:
    calm, warned = tmp_path / "calm", tmp_path / "warned"
    local.run_jobs(grid(calm, "pretrain.steps=200"), lambda *told: None, workers=1)
    (job,) = grid(warned, "pretrain.steps=200")
    threading.Thread(target=lambda: os.kill(working(warned), signal.SIGUSR2), daemon=True).start()
    told: list[str] = []
    assert on_slurm.run_jobs([job], lambda job, status, seconds: told.append(status), executor="local")
    assert told == ["done"]
    log = next((warned / "slurm").glob("*_log.*err")).read_text(encoding="utf-8") + next(
        (warned / "slurm").glob("*_log.out")
    ).read_text(encoding="utf-8")
    assert "Requeued job" in log
    assert same(calm / job.run_id, warned / job.run_id)


SBATCH = """#!/bin/bash
n=$(cat {folder}/count 2>/dev/null || echo 100)
echo $((n + 1)) > {folder}/count
cp "$1" {folder}/$n.sh
echo "Submitted batch job $n"
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
for job in 100 101_0 101_1; do echo "$job|PENDING|None assigned"; done
"""


def test_what_slurm_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two arrays, the second after the first; what is still in the queue is not submitted again."""
    commands, out = tmp_path / "bin", tmp_path / "runs"
    commands.mkdir()
    for name, text in {"sbatch": SBATCH.format(folder=commands), "srun": "#!/bin/bash\n", "sacct": SACCT}.items():
        (commands / name).write_text(text, encoding="utf-8")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(on_slurm, "_outcome", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    jobs = grid(out, "posttrain.lr=1e-4,2e-4")
    for extra in ([], grid(out, "mixture.p_cot=.7")):
        assert not on_slurm.run_jobs(
            [*jobs, *extra], lambda *told: None, partition="gpu", gpus=1, cpus=2.5, workers=7, memory_gb=1.5, minutes=30
        )
    first, rest, later = ((commands / f"{number}.sh").read_text(encoding="utf-8") for number in (100, 101, 102))
    assert not (commands / "103.sh").exists()
    assert "--dependency" not in first
    assert "#SBATCH --dependency=afterany:100" in rest
    assert "#SBATCH --array=0-1%2" in rest
    assert "--array" not in later
    asked = ("partition=gpu", "gpus-per-node=1", "cpus-per-task=3", "mem=1536MB", "time=30", "signal=USR2@90")
    assert all(f"#SBATCH --{text}" in script for text in asked for script in (first, rest, later))


def test_without_slurm_or_where_it_refuses_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="--launcher slurm: the command sbatch is missing") as found:
        on_slurm.run_jobs(grid(tmp_path), lambda *told: None)
    assert "\n" not in str(found.value)
    for name in ("sbatch", "srun"):
        (tmp_path / name).write_text(
            "#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpu' >&2; exit 1\n", encoding="utf-8"
        )
        (tmp_path / name).chmod(0o755)
    with pytest.raises(ValueError, match="Slurm does not take the jobs: sbatch: error: invalid partition") as found:
        on_slurm.run_jobs(grid(tmp_path), lambda *told: None, partition="gpu")
    assert "\n" not in str(found.value)
