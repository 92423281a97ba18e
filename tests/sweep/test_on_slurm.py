"""submitit's real local executor: processes of its own, as Slurm's would be."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chainlift import recipe as recipes
from chainlift.sweep import local, on_slurm
from chainlift.sweep.jobs import plan
from chainlift.sweep.on_slurm import Resources
from tests.sweep.test_local import SMALL, grid


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are unpickled in processes that must find this package."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]))
    monkeypatch.setattr(on_slurm, "LOOK_EVERY", 0.1)


@pytest.mark.slow
def test_an_array_shares_stage_1_keeps_failures_and_has_the_pools_numbers(tmp_path: Path) -> None:
    calm, queued = tmp_path / "calm", tmp_path / "queued"
    local.run_jobs(grid(calm, "posttrain.lr=1e-4,2e-4"), lambda *told: None, workers=2, threads=1)
    jobs = grid(queued, "posttrain.lr=1e-4,2e-4")
    bad = recipes.load("tiny", [*SMALL, "pretrain.lr=1e12", "pretrain.clip_norm=1e12"], seed=0)
    told: dict[str, str] = {}
    everything = [*jobs, *plan([bad], queued)]
    done = on_slurm.run_jobs(
        everything, lambda job, status, seconds: told.update({job.run_id: status}), Resources(), cluster="local"
    )
    assert done
    assert told == {job.run_id: "done" for job in jobs} | {bad.run_id: "failed"}
    assert "training diverged" in (queued / bad.run_id / "FAILED").read_text()
    for job in jobs:
        if not job.stage_1_only:
            for name in ("metrics.jsonl", "rollouts.jsonl"):
                assert (calm / job.run_id / name).read_bytes() == (queued / job.run_id / name).read_bytes()


@pytest.mark.slow
def test_a_killed_job_is_submitted_again_and_ends_with_the_same_numbers(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    local.run_jobs(grid(calm, "pretrain.steps=400"), lambda *told: None, workers=1, threads=1)
    jobs = grid(killed, "pretrain.steps=400")
    victims: list[int] = []

    def kill() -> None:
        while not list(killed.glob("pretrain-*/checkpoints/pretrain-*/trainer_state.json")):
            time.sleep(0.05)
        found = subprocess.run(["pgrep", "-f", f"submitit.core._submit {killed}"], capture_output=True, text=True)
        victims.extend(map(int, found.stdout.split()))
        for victim in victims:
            os.kill(victim, signal.SIGKILL)

    threading.Thread(target=kill).start()
    told: list[str] = []
    assert on_slurm.run_jobs(jobs, lambda job, status, seconds: told.append(status), Resources(), cluster="local")
    assert victims
    assert told == ["done"]
    for name in ("metrics.jsonl", "rollouts.jsonl"):
        assert (calm / jobs[0].run_id / name).read_bytes() == (killed / jobs[0].run_id / name).read_bytes()


def test_what_slurm_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The parameters of the array, as submitit turns them into Slurm's."""
    import submitit
    from submitit.slurm.slurm import SlurmExecutor

    monkeypatch.setattr(SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    asked = Resources(cpus=4, gpus=1, partition="gpu", minutes=90, memory_gb=16, at_once=3)
    executor = on_slurm._executor(tmp_path, asked, None)
    assert isinstance(executor, submitit.AutoExecutor)
    found = executor._executor.parameters
    assert found["time"] == 90
    assert found["cpus_per_task"] == 4
    assert found["gpus_per_node"] == 1
    assert found["partition"] == "gpu"
    assert found["array_parallelism"] == 3
    assert found["mem"] == "16GB"


def test_without_slurm_or_submitit_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no sbatch on this machine") as found:
        on_slurm.run_jobs(grid(tmp_path), lambda *told: None, Resources())
    assert "\n" not in str(found.value)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ValueError, match=r"pip install 'chainlift\[slurm\]'"):
        on_slurm.run_jobs(grid(tmp_path), lambda *told: None, Resources())
