"""How the jobs of a sweep come into Slurm's queue, through submitit, and are known again by a later command."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chainlift import reading
from chainlift.runs.durable import write_file
from chainlift.sweep.jobs import Job
from chainlift.sweep.slurm_queue import Queue
from chainlift.sweep.slurm_task import Task

LONGEST_ARRAY = 1000  # Slurm's default limit is 1001
Executor = Literal["slurm", "local"]


@dataclass
class Watched:
    """A job that was submitted."""

    job: Job
    submitted: Any
    """submitit's handle."""
    since: float
    ended: float | None = None
    """When it was first seen to be in the queue no more, without a result."""

    @property
    def number(self) -> str:
        """Its number in Slurm."""
        return str(self.submitted.job_id)


def find_submitit(executor: Executor) -> Any:
    """The module submitit; ValueError if it, or Slurm, is not there."""
    try:
        import submitit
    except ImportError as error:
        raise ValueError("--launcher slurm needs the extra slurm: pip install 'chainlift[slurm]'") from error
    missing = [command for command in ("sbatch", "srun") if shutil.which(command) is None]
    if executor == "slurm" and missing:
        raise ValueError(f"--launcher slurm: there is no {missing[0]} here; give it on a login node of the cluster")
    return submitit


def configure(made: Any, shared: dict[str, Any], **own: Any) -> None:
    """Set an executor's parameters, those that are None left out."""
    made.update_parameters(**{key: value for key, value in (shared | own).items() if value is not None})


def submit_all(submitit: Any, made: Any, jobs: Sequence[Job], threads: int, queue: Queue) -> list[Watched]:
    """All jobs in Slurm's queue: those that are there already, and the others, wave by wave."""
    watched = _in_queue(submitit, made.folder, jobs, queue)
    there = {one.job.run_id for one in watched}
    new = [job for job in jobs if job.run_id not in there]
    for wave in range(max((job.wave for job in new), default=-1) + 1):
        before = {str(one.submitted.job_id).split("_")[0] for one in watched if one.job.is_shared}
        if wave and before:
            made.update_parameters(dependency="afterany:" + ":".join(sorted(before)))
        watched += submit(made, [job for job in new if job.wave == wave], threads)
    return watched


def submit(made: Any, jobs: Sequence[Job], threads: int) -> list[Watched]:
    """The jobs, submitted, each with its number in a file beside the logs; ValueError if Slurm refuses them."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    watched = []
    for start in range(0, len(jobs), LONGEST_ARRAY):
        some = jobs[start : start + LONGEST_ARRAY]
        try:
            submitted = made.submit_array([Task(job, threads) for job in some])
        except (FailedJobError, FailedSubmissionError) as error:
            lines = [line.strip() for line in str(error).splitlines() if "error" in line] or [str(error)]
            raise ValueError(f"Slurm does not take the jobs: {lines[0]}") from error
        for job, handle in zip(some, submitted, strict=True):
            write_file(_number_file(made.folder, job), handle.job_id)
            watched.append(Watched(job, handle, time.monotonic()))
    return watched


def _in_queue(submitit: Any, logs: Path, jobs: Sequence[Job], queue: Queue) -> list[Watched]:
    """Those jobs that an earlier driver submitted and Slurm has not ended yet, as far as it says."""
    numbers = [(job, _number_file(logs, job)) for job in jobs]
    found = [
        Watched(job, submitit.SlurmJob(logs, reading.text(file, largest=100).strip()), time.monotonic())
        for job, file in numbers
        if file.exists()
    ]
    if found:
        queue.ask([one.number for one in found])  # all in one question
    return [one for one in found if queue.answers and queue.has(one.number)]


def _number_file(logs: Path, job: Job) -> Path:
    return logs / f"{job.run_id}.job"
