"""Submit the jobs of a sweep to Slurm through submitit, and recognize those of an earlier command."""

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
    """A submitted job."""

    job: Job
    submitted: Any
    """submitit's handle."""
    since: float
    ended: float | None = None
    """When it was first missing from the queue without a result."""

    @property
    def number(self) -> str:
        """The job's number in Slurm."""
        return str(self.submitted.job_id)


def find_submitit(executor: Executor) -> Any:
    """Import submitit; ValueError if it or Slurm is missing."""
    try:
        import submitit
    except ImportError as error:
        raise ValueError("--launcher slurm needs the extra slurm: pip install 'chainlift[slurm]'") from error
    missing = [command for command in ("sbatch", "srun") if shutil.which(command) is None]
    if executor == "slurm" and missing:
        raise ValueError(
            f"--launcher slurm: the command {missing[0]} is missing; run this on a login node of the cluster"
        )
    return submitit


def configure(submitter: Any, shared: dict[str, Any], **parameters: Any) -> None:
    """Set an executor's parameters; None leaves the default."""
    submitter.update_parameters(**{key: value for key, value in (shared | parameters).items() if value is not None})


def submit_all(submitit: Any, submitter: Any, jobs: Sequence[Job], threads: int, queue: Queue) -> list[Watched]:
    """Put all jobs into Slurm's queue, wave by wave, without those already there; all of them as submissions."""
    watched = _in_queue(submitit, submitter.folder, jobs, queue)
    queued_ids = {submission.job.run_id for submission in watched}
    new = [job for job in jobs if job.run_id not in queued_ids]
    for wave in range(max((job.wave for job in new), default=-1) + 1):
        before = {str(submission.submitted.job_id).split("_")[0] for submission in watched if submission.job.is_shared}
        if wave and before:
            submitter.update_parameters(dependency="afterany:" + ":".join(sorted(before)))
        watched += submit(submitter, [job for job in new if job.wave == wave], threads)
    return watched


def submit(submitter: Any, jobs: Sequence[Job], threads: int) -> list[Watched]:
    """Submit jobs and write the number of each into a file beside the logs; ValueError if Slurm refuses them."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    watched = []
    for start in range(0, len(jobs), LONGEST_ARRAY):
        array = jobs[start : start + LONGEST_ARRAY]
        try:
            submitted = submitter.submit_array([Task(job, threads) for job in array])
        except (FailedJobError, FailedSubmissionError) as error:
            lines = [line.strip() for line in str(error).splitlines() if "error" in line] or [str(error)]
            raise ValueError(f"Slurm does not take the jobs: {lines[0]}") from error
        for job, handle in zip(array, submitted, strict=True):
            write_file(_number_file(submitter.folder, job), handle.job_id)
            watched.append(Watched(job, handle, time.monotonic()))
    return watched


def _in_queue(submitit: Any, logs: Path, jobs: Sequence[Job], queue: Queue) -> list[Watched]:
    """Jobs that an earlier driver submitted and that, according to Slurm, have not ended."""
    numbers = [(job, _number_file(logs, job)) for job in jobs]
    candidates = [
        Watched(job, submitit.SlurmJob(logs, reading.text(file, largest=100).strip()), time.monotonic())
        for job, file in numbers
        if file.exists()
    ]
    if candidates:
        queue.ask([candidate.number for candidate in candidates])  # all in one query
    return [candidate for candidate in candidates if queue.answers and queue.has(candidate.number)]


def _number_file(logs: Path, job: Job) -> Path:
    return logs / f"{job.run_id}.job"
