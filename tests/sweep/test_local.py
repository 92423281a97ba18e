"""The pool with real processes and real signals: nothing lost, nothing run twice to its end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chainlift.stages import recipe as recipes
from chainlift.sweep import axes, local, waiting
from chainlift.sweep.jobs import Job, plan, work

SMALL = [
    "model.layers=1", "model.width=16", "model.heads=2", "task.d=5", "pretrain.steps=40", "pretrain.batch_size=16",
    "pretrain.checkpoint_every=10", "evaluate.every=20", "evaluate.prompts=32", "evaluate.during=16",
    "evaluate.pass_at_k_prompts=0", "posttrain.prompts=8", "posttrain.steps=6", "continued_pretrain=null",
]  # fmt: skip


PLATFORMS = {"linux": "forkserver", "darwin": "spawn", "win32": "spawn"}


def grid(out: Path, *texts: str, seeds: tuple[int, ...] = (0,)) -> list[Job]:
    keys = {text.partition("=")[0] for text in texts}
    rest = [text for text in SMALL if text.partition("=")[0] not in keys]
    return plan(axes.expand("tiny", [*rest, *texts], seeds), out)


def test_a_shared_stage_1_is_a_job_of_its_own_that_others_wait_for(tmp_path: Path) -> None:
    jobs = grid(tmp_path, "posttrain.lr=1e-4,2e-4,3e-4", seeds=(0, 1))
    first, rest = [job for job in jobs if job.is_shared], [job for job in jobs if not job.is_shared]
    assert (len(first), len(rest)) == (2, 6)
    assert jobs[:2] == first
    assert {job.after for job in rest} == {job.run_id for job in first}
    assert grid(tmp_path, "posttrain.lr=1e-4")[0].after is None


def workers_of(driver: int) -> list[int]:
    """The processes at work for a driver: children of its fork server."""

    def children(process: int, *arguments: str) -> list[int]:
        found = subprocess.run(["pgrep", "-P", str(process), *arguments], capture_output=True, text=True)
        return [int(one) for one in found.stdout.split()]

    return [worker for server in children(driver, "-f", "forkserver") for worker in children(server)]


@pytest.mark.slow
@pytest.mark.smoke
def test_jobs_share_a_stage_1_and_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(waiting, "SAY_SECONDS", 0.2)
    said: list[str] = []
    jobs = grid(tmp_path, "posttrain.lr=1e-4,2e-4")
    bad = recipes.load("tiny", [*SMALL, "pretrain.lr=1e12", "pretrain.max_grad_norm=1e12"], seed=0)
    told: dict[str, str] = {}
    everything = [*jobs, *plan([bad], tmp_path)]
    assert local.run_jobs(
        everything, lambda job, status, seconds: told.update({job.run_id: status}), workers=2, say=said.append
    )
    assert any(line.startswith("  waiting for ") and " at work: " in line for line in said)
    assert told == {job.run_id: "done" for job in jobs} | {bad.run_id: "failed"}
    assert "training diverged" in (tmp_path / bad.run_id / "FAILED").read_text(encoding="utf-8")
    losses = [
        [
            json.loads(line)["loss"]
            for line in (tmp_path / job.run_id / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[1:4]
        ]
        for job in jobs
        if not job.is_shared
    ]
    assert losses[0] == losses[1]
    assert len(list(tmp_path.glob("stages/pretrain-*"))) == 2
    assert len(list(tmp_path.glob("stages/pretrain-*/DONE"))) == 1
    assert plan([recipes.build(job.content) for job in jobs], tmp_path) == []


def test_runs_whose_shared_stage_1_failed_fail_with_it_and_do_not_train_it_again(tmp_path: Path) -> None:
    jobs = grid(tmp_path, "posttrain.lr=1e-4,2e-4", "pretrain.lr=1e12", "pretrain.max_grad_norm=1e12")
    assert [work(job) for job in jobs] == ["failed"] * 3
    reason = f"its first stages, {jobs[0].run_id}, failed: error: training diverged"
    for job in jobs[1:]:
        assert job.folder.failure is not None
        assert reason in job.folder.failure
        assert not (job.folder.path / "metrics.jsonl").exists()


@pytest.mark.slow
def test_a_killed_worker_begins_again_and_ends_with_the_same_numbers(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    local.run_jobs(grid(calm, "pretrain.steps=200"), lambda *told: None, workers=1)
    jobs = grid(killed, "pretrain.steps=200")
    victims: list[int] = []

    def kill() -> None:
        folder = killed / jobs[0].run_id / "checkpoints"
        while not list(folder.glob("pretrain-*/state.json")):
            time.sleep(0.05)
        victims.extend(workers_of(os.getpid()))
        os.kill(victims[0], signal.SIGKILL)

    threading.Thread(target=kill).start()
    told: list[str] = []
    assert local.run_jobs(jobs, lambda job, status, seconds: told.append(status), workers=1)
    assert victims
    assert told == ["done"]
    for name in ("metrics.jsonl", "rollouts.jsonl"):
        assert (calm / jobs[0].run_id / name).read_bytes() == (killed / jobs[0].run_id / name).read_bytes()


def test_processes_are_copied_only_where_that_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {
        name: local.start_method() for name in PLATFORMS if not monkeypatch.setattr(sys, "platform", name)
    } == PLATFORMS


def test_without_signal_masks_a_process_is_started_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "pthread_sigmask")
    with local._without_ctrl_c():
        pass


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert local.signal_name(9) == "SIGKILL"
    assert local.signal_name(40) == "signal 40"


DRIVER = """
import sys
from pathlib import Path
from tests.sweep.test_local import grid
from chainlift.sweep import local
if __name__ == "__main__":
    local.run_jobs(grid(Path(sys.argv[1]), "pretrain.steps=3000"), lambda *told: None, workers=1)
"""


@pytest.mark.slow
def test_workers_end_when_their_driver_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    driver = subprocess.Popen([sys.executable, script, tmp_path / "runs"], env=environment)
    while not list((tmp_path / "runs").glob("tiny-*/checkpoints/pretrain-*/state.json")):
        assert driver.poll() is None
        time.sleep(0.05)
    (worker,) = workers_of(driver.pid)
    driver.kill()
    driver.wait()
    for _ in range(200):
        if not Path(f"/proc/{worker}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()
    assert not list((tmp_path / "runs").glob("*/DONE"))
