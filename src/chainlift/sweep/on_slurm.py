"""The jobs of a sweep as Slurm job arrays, through submitit.

First an array of the shared stage 1s, then, when that has ended, one of the runs. Every node must see the same folder
of runs. Where this process ends, submitted jobs go on; the same command later skips what is done, and a second job of a
run that is still at work waits for the run's lock and then finds it done. A lock goes with its process, so that a
killed holder leaves none behind.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainlift.sweep.jobs import TRIES, Job, Status, Tell, work

LOOK_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class Resources:
    """What each job asks Slurm for."""

    cpus: int = 1
    gpus: int = 0
    partition: str | None = None
    minutes: int = 240
    memory_gb: float | None = None
    at_once: int | None = None
    """Jobs of an array at work at the same time; None: as many as Slurm gives."""


class Work:
    """A job as submitit takes it: it is submitted again, and goes on, where Slurm preempts it or its time is up."""

    def __call__(self, job: Job, threads: int) -> Status:
        """Carry the job out."""
        return work(job, threads=threads)

    def checkpoint(self, job: Job, threads: int) -> Any:
        """What is submitted in its place: the same, as the run folder holds how far it came."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job, threads)


def run_jobs(jobs: Sequence[Job], tell: Tell, resources: Resources, *, cluster: str | None = None) -> bool:
    """Whether all was carried out (failed jobs included); False if the user stopped waiting. `tell` hears of each end.

    cluster: `local` has submitit start processes here instead (for tests); None: Slurm. Ctrl-C cancels what was
    submitted. ValueError in one line if submitit is not installed, or there is no Slurm on this machine.
    """
    if not jobs:
        return True
    executor = _executor(Path(jobs[0].out) / "slurm", resources, cluster)
    stages = [job for job in jobs if job.stage_1_only], [job for job in jobs if not job.stage_1_only]
    return all(_carry_out(executor, array, tell, resources) for array in stages if array)


def _carry_out(executor: Any, jobs: list[Job], tell: Tell, resources: Resources) -> bool:
    """Submit one array and see it out; what is lost from outside is submitted again, TRIES times in all."""
    started = time.monotonic()
    for left in reversed(range(TRIES)):
        pending = list(zip(executor.map_array(Work(), jobs, [resources.cpus] * len(jobs)), jobs, strict=True))
        jobs = []
        try:
            while pending:
                for one in [one for one in pending if one[0].done()]:
                    pending.remove(one)
                    status, why = _status(*one)
                    if status is None and left:
                        jobs.append(one[1])
                        continue
                    if status is None:
                        one[1].folder.fail(f"lost by Slurm {TRIES} times: {why}")
                    tell(one[1], status or "failed", time.monotonic() - started)
                time.sleep(LOOK_EVERY if pending else 0)
        except KeyboardInterrupt:
            for submitted, _ in pending:
                submitted.cancel()
            return False
        if not jobs:
            break
    return True


def _status(submitted: Any, job: Job) -> tuple[Status | None, str]:
    """(how a job ended, why); None where its process or node was lost before it could say."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

    try:
        return submitted.result(), ""
    except (FailedJobError, FailedSubmissionError, UncompletedJobError) as error:
        if job.folder.done:
            return "done", ""
        lines = [line for line in str(error).splitlines() if line.strip()]
        return None, lines[-1] if lines else "no reason on record"


def _executor(logs: Path, resources: Resources, cluster: str | None) -> Any:
    """submitit's executor with the resources set."""
    try:
        import submitit
    except ImportError as error:
        raise ValueError("--launcher slurm needs the extra slurm: pip install 'chainlift[slurm]'") from error
    try:
        executor = submitit.AutoExecutor(folder=logs / "%j", cluster=cluster or "slurm")
    except RuntimeError as error:
        raise ValueError(
            "--launcher slurm: no sbatch on this machine; run this on a login node of the cluster"
        ) from error
    executor.update_parameters(
        name="chainlift",
        timeout_min=resources.minutes,
        cpus_per_task=resources.cpus,
        gpus_per_node=resources.gpus,
        **({"mem_gb": resources.memory_gb} if resources.memory_gb else {}),
        **({"slurm_partition": resources.partition} if resources.partition else {}),
        **({"slurm_array_parallelism": resources.at_once} if resources.at_once else {}),
    )
    return executor
