"""What the watcher of Slurm's jobs makes of all that Slurm may say or not say: no wait is without an end or a word."""

import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from chainlift.stages.failures import RunsFailed
from chainlift.sweep import on_slurm, slurm_queue, waiting
from chainlift.sweep.jobs import Job
from tests.sweep.test_local import grid

SBATCH = """#!/bin/bash
n=$(cat {folder}/submitted 2>/dev/null || echo 100)
echo $((n + 1)) > {folder}/submitted
echo "Submitted batch job $n"
"""
COUNT = """#!/bin/bash
n=$(($(cat {folder}/asked 2>/dev/null || echo 0) + 1)); echo $n > {folder}/asked
"""
SILENT = "#!/bin/bash\nexit 1\n"
NOTHING = "#!/bin/bash\n"


class Slurm:
    """Commands of a simulated Slurm on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.set("srun", NOTHING)
        self.set("sbatch", SBATCH.format(folder=folder))

    def set(self, name: str, script: str) -> None:
        """Let a command do this from now on."""
        (self.folder / name).write_text(script, encoding="utf-8")
        (self.folder / name).chmod(0o755)

    def says(self, *, queue: str | None, accounting: str | None) -> None:
        """What squeue and sacct print; None: they fail."""
        for name, text in (("squeue", queue), ("sacct", accounting)):
            self.set(name, SILENT if text is None else f"#!/bin/bash\nprintf '%s\\n' '{text}'\n" if text else NOTHING)

    @property
    def submitted(self) -> int:
        """How many jobs have been submitted."""
        return int((self.folder / "submitted").read_text(encoding="utf-8")) - 100


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    made = Slurm(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.folder}{os.pathsep}{os.environ['PATH']}")
    for module, name, value in (
        (on_slurm, "POLL_SECONDS", 0.02),
        (on_slurm, "RESULT_SECONDS", 0.1),
        (on_slurm, "RETURN_SECONDS", 0.3),
        (slurm_queue, "ASK_SECONDS", 0.0),
    ):
        monkeypatch.setattr(module, name, value)
    return made


def watch(jobs: list[Job]) -> tuple[dict[str, str], list[str]]:
    """({run_id: how it ended}, lines said) of a watched sweep; it must end by itself."""
    told: dict[str, str] = {}
    said: list[str] = []
    errors: list[BaseException] = []

    def drive() -> None:
        try:
            assert on_slurm.run_jobs(
                jobs, lambda job, status, seconds: told.update({job.run_id: status}), say=said.append
            )
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive(), f"the watcher hangs; it said {said}"
    if errors:
        raise errors[0]
    return told, said


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL", "BOOT_FAIL"])
def test_a_job_taken_away_and_not_queued_again_ends_with_a_word_and_is_submitted_again(
    slurm: Slurm, tmp_path: Path, state: str
) -> None:
    """As under PreemptMode=CANCEL: the state is final there."""
    (job,) = grid(tmp_path / "runs")
    slurm.says(queue="", accounting=f"100|{state}")
    told, said = watch([job])
    assert told == {job.run_id: "stopped"}
    (line,) = said
    assert f"{job.run_id}: Slurm ended its job 100 ({state}) and has not queued it again" in line
    assert "the same command submits it again" in line
    assert job.folder.failure is None  # so that the same command does not leave it alone
    watch([job])
    assert slurm.submitted == 2


def test_a_job_that_is_queued_again_within_the_grace_is_watched_to_its_end(slurm: Slurm, tmp_path: Path) -> None:
    (job,) = grid(tmp_path / "runs")
    result = tmp_path / "result.pkl"
    result.write_bytes(pickle.dumps(("success", ("done", 1.5))))
    job.folder.path.mkdir(parents=True)
    (job.folder.path / "DONE").write_text("", encoding="utf-8")
    slurm.says(queue="", accounting="100|PREEMPTED")
    logs = tmp_path / "runs/slurm"
    slurm.set(
        "squeue",
        COUNT.format(folder=slurm.folder)
        + "if [ $n -ge 3 ]; then echo '100|PENDING|BeginTime'; fi\n"
        + f"if [ $n = 30 ]; then cp {result} {logs}/100_0_result.pkl; fi\n",
    )
    told, said = watch([job])
    assert told == {job.run_id: "done"}
    assert not said
    assert slurm.submitted == 1
    assert int((slurm.folder / "asked").read_text(encoding="utf-8")) >= 30  # far longer than the grace


@pytest.mark.parametrize("accounting", ["100|OUT_OF_MEMORY", None], ids=["accounting", "no accounting"])
def test_a_job_that_ended_without_a_result_has_failed(slurm: Slurm, tmp_path: Path, accounting: str | None) -> None:
    (job,) = grid(tmp_path / "runs")
    slurm.says(queue="", accounting=accounting)
    told, _ = watch([job])
    assert told == {job.run_id: "failed"}
    assert job.folder.failure is not None
    how = " (OUT_OF_MEMORY)" if accounting else ""
    assert job.folder.failure.startswith(f"its job 100 was ended from outside{how}; the logs are ")


def test_a_slurm_that_no_longer_answers_is_not_waited_for_without_end(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_slurm, "SILENT_SECONDS", 0.3)
    slurm.says(queue=None, accounting=None)
    (job,) = grid(tmp_path / "runs")
    with pytest.raises(RunsFailed, match=r"Slurm has not answered .* the same command watches them again"):
        watch([job])
    assert job.folder.failure is None


def test_what_is_waited_for_is_said(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SAY_SECONDS", 0.0)
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        if any("pending (Priority)" in one for one in said):
            raise KeyboardInterrupt

    slurm.says(queue="100|PENDING|Priority", accounting="")
    assert not on_slurm.run_jobs(grid(tmp_path / "runs"), lambda *told: None, say=hear)
    assert said[-1] == "  waiting for 1 job of Slurm: 1 pending (Priority)"


@pytest.mark.parametrize(
    ("number", "state", "expected"),
    [
        ("7", "COMPLETED", {"7": "COMPLETED"}),
        ("7_3", "CANCELLED by 1000", {"7_3": "CANCELLED"}),
        ("7_[2-4,6%2]", "PENDING", dict.fromkeys(("7_2", "7_3", "7_4", "7_6"), "PENDING")),
    ],
)
def test_a_line_of_the_accounting_may_stand_for_many_jobs(number: str, state: str, expected: dict[str, str]) -> None:
    assert dict(slurm_queue._states(number, state)) == expected


def test_a_line_about_jobs_at_work_says_which_stand_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Callable[[], float] = lambda: 1e6  # noqa: E731
    monkeypatch.setattr(waiting.time, "monotonic", clock)
    jobs = [Job(f"tiny-{i}", {}, str(tmp_path)) for i in range(4)]
    jobs[0].folder.path.mkdir()
    (jobs[0].folder.path / "metrics.jsonl").write_text("", encoding="utf-8")
    line = waiting.at_work({job.run_id: (job, 1e6 - 900) for job in jobs}, 2)
    assert line.startswith("  waiting for 4 at work: tiny-0 (15 min), tiny-1 (15 min, no new row for 15 min: ")
    assert line.endswith(" and 1 more; 2 wait for a place or a shared stage")
