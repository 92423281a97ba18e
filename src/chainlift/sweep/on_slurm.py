"""Run the jobs of a sweep as Slurm job arrays, through submitit; the driver only submits and watches.

There are two arrays: the stages that runs share, then all runs, which Slurm starts after the first array has ended. So
the jobs continue if the driver ends, also by Ctrl-C. The same command, given again, watches the jobs still in the queue
and submits the rest. If it cannot know (no accounting, another executor), it submits a job a second time. That is
harmless: the second one waits for the lock of the run folder, then finds DONE and ends.

The driver recognizes jobs that Slurm has ended for good (slurm_queue.py). A preempted job, or one that has lost its
node, has RETURN_SECONDS to return to the queue, as with JobRequeue or PreemptMode=REQUEUE. With PreemptMode=CANCEL it
does not return: the driver stops watching it, and the same command submits it again. If Slurm does not answer for
SILENT_SECONDS, the driver gives up.

Before a time limit or a preemption, Slurm sends the signal chosen by submitit. The run then finishes its step, writes a
checkpoint, and is queued again. Logs are in the folder `slurm` beside the run folders.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from chainlift.stages.failures import RunsFailed
from chainlift.sweep.jobs import LAST_LINES, Job, Status, Tell, ended_here, ready
from chainlift.sweep.slurm_queue import MAY_RETURN, UNKNOWN, Queue
from chainlift.sweep.slurm_submit import LONGEST_ARRAY, Executor, Watched, configure, find_submitit, submit, submit_all
from chainlift.sweep.waiting import Say, Statements, at_work, counted, silent

MINUTES = 240  # time limit of a job, after which it is queued again
REQUEUES = 100  # after a time limit; preemptions do not count
POLL_SECONDS = 1.0
RESULT_SECONDS = 15.0  # for the result of an ended job to appear on a network file system
WARN_SECONDS = 90  # between the signal and the end of a job
RETURN_SECONDS = 120.0  # for a job that Slurm ended to be queued again, or for a new one to be known
SILENT_SECONDS = 1800.0  # for Slurm to answer
NAME = "chainlift"


def run_jobs(
    jobs: Sequence[Job],
    tell: Tell,
    *,
    workers: int | None = None,
    cpus: float = 1,
    gpus: int = 0,
    threads: int = 1,
    partition: str | None = None,
    minutes: float = MINUTES,
    memory_gb: float | None = None,
    executor: Executor = "slurm",
    warn_seconds: int = WARN_SECONDS,
    say: Say = silent,
    beginning: str = "",
) -> bool:
    """Submit and watch jobs; True once all have ended, even by failure; False after Ctrl-C, which leaves them queued.

    workers: most jobs of an array (of each thousand jobs) at once. cpus (rounded up), gpus, memory_gb, minutes: for
    each job. executor: `local` is submitit's, with processes of this machine. say: receives from time to time what the
    sweep waits for. ValueError in one line if submitit or Slurm is missing, or Slurm refuses the jobs; RunsFailed if
    Slurm no longer answers.
    """
    if not jobs:
        return True
    submitit = find_submitit(executor)
    logs = Path(jobs[0].out).absolute() / "slurm"
    shared = {"signal_delay_s": warn_seconds, "gpus_per_node": gpus or None, "cpus_per_task": math.ceil(cpus)}
    if executor == "slurm":
        submitter = submitit.SlurmExecutor(logs, max_num_timeout=REQUEUES)
        memory = None if memory_gb is None else f"{math.ceil(memory_gb * 1024)}MB"
        limits = {"array_parallelism": workers or LONGEST_ARRAY}  # submitit's default would hold some back
        configure(submitter, shared | limits, job_name=NAME, partition=partition, time=math.ceil(minutes), mem=memory)
        queue: Queue | None = Queue(NAME)
        watched, waiting = submit_all(submitit, submitter, jobs, threads, queue), []
    else:
        submitter = submitit.LocalExecutor(logs, max_num_timeout=REQUEUES)
        configure(submitter, shared, timeout_min=minutes)
        queue, watched, waiting = None, [], list(jobs)
    if beginning:  # only after Slurm has accepted the jobs: until then errors are one line
        say(beginning)
    return _watch(submitter, watched, waiting, tell, say, workers=workers, threads=threads, queue=queue)


def _watch(
    submitter: Any,
    watched: list[Watched],
    waiting: list[Job],
    tell: Tell,
    say: Say,
    *,
    workers: int | None,
    threads: int,
    queue: Queue | None,
) -> bool:
    """Submit waiting jobs when they may begin, and watch all to their end; the result of `run_jobs`."""
    open_ids = {job.run_id for job in (*waiting, *(submission.job for submission in watched))}
    statements = Statements(say)
    try:
        while waiting or watched:
            while (workers is None or len(watched) < workers) and (job := ready(waiting, open_ids)) is not None:
                waiting.remove(job)
                watched += submit(submitter, [job], threads)
            for submission in list(watched):
                if (outcome := _outcome(submission, queue, say)) is not None:
                    watched.remove(submission)
                    open_ids.discard(submission.job.run_id)
                    tell(submission.job, *outcome)
                    statements.happened()
            if watched:
                if queue is not None:
                    queue.ask([submission.number for submission in watched])
                    _must_answer(queue, watched)
                statements.waiting(partial(_waiting_line, watched, len(waiting), queue))
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return False
    return True


def _must_answer(queue: Queue, watched: Sequence[Watched]) -> None:
    """Raise RunsFailed if Slurm has not answered for too long: its jobs may continue, unwatched."""
    if queue.silent_seconds > SILENT_SECONDS:
        jobs = counted(len(watched), "job")
        raise RunsFailed(
            f"Slurm has not answered (squeue, sacct) for {queue.silent_seconds / 60:.0f} minutes; {jobs} "
            "may continue without this command, and the same command watches them again"
        )


def _waiting_line(watched: Sequence[Watched], num_waiting: int, queue: Queue | None) -> str:
    """A line about the jobs that the sweep waits for."""
    if queue is None:
        return at_work(
            {submission.job.run_id: (submission.job, submission.since) for submission in watched}, num_waiting
        )
    if queue.silent_seconds > RETURN_SECONDS:
        return f"  waiting for Slurm, which has not answered for {queue.silent_seconds / 60:.0f} minutes"
    states = queue.summary([submission.number for submission in watched])
    return f"  waiting for {counted(len(watched), 'job')} of Slurm: {states}"


def _may_come(submission: Watched, queue: Queue | None) -> bool:
    """Whether a job without a result may still produce one: it is in the queue, or left it recently."""
    is_queued = not submission.submitted.done() if queue is None else queue.has(submission.number)
    if is_queued:
        submission.ended = None
        return True
    submission.ended = submission.ended or time.monotonic()
    may_return = queue is not None and queue.state(submission.number) in (*MAY_RETURN, UNKNOWN)
    return time.monotonic() - submission.ended < (RETURN_SECONDS if may_return else RESULT_SECONDS)


def _outcome(submission: Watched, queue: Queue | None, say: Say) -> tuple[Status, float] | None:
    """(how a job ended, its seconds), None before its end; a lost or broken job leaves FAILED in its folder.

    A job that Slurm ended and did not queue again is `stopped`: the same command submits it again.
    """
    job, number, result = submission.job, submission.number, submission.submitted.paths.result_pickle
    if not result.exists() and _may_come(submission, queue):
        return None
    seconds = time.monotonic() - submission.since
    if result.exists():
        error = submission.submitted.exception()
        if error is None:
            status, job_seconds = submission.submitted.result()
            return ended_here(job, status), job_seconds
        lines = [line for line in str(error).splitlines() if line.strip("- ")]
        lines = [line for line in lines if "job.stderr" not in line and "  - " not in line]
    elif job.folder.done:  # killed between its end and its result
        return "done", seconds
    elif queue is not None and (state := queue.state(number)) in MAY_RETURN:
        say(
            f"  {job.run_id}: Slurm ended its job {number} ({state}) and has not queued it again within "
            f"{RETURN_SECONDS:.0f} s; the same command submits it again and continues from its checkpoint"
        )
        return "stopped", seconds
    else:
        log = submission.submitted.stderr() or submission.submitted.stdout() or ""
        state_words = "" if queue is None or queue.state(number) == UNKNOWN else f" ({queue.state(number)})"
        reason = (
            f"its job {number} was ended from outside{state_words}; the logs are {submission.submitted.paths.stderr}"
        )
        lines = [reason, *log.splitlines()[-LAST_LINES + 1 :]]
    job.folder.fail("\n".join(lines[-LAST_LINES:]))
    return "failed", seconds
