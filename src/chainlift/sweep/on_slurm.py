"""The jobs of a sweep as job arrays of Slurm, through submitit; the driver only submits and watches.

Two arrays: the stages that runs share, then all runs, which Slurm holds back until the first array has ended. So
everything goes on when the driver is gone, by Ctrl-C too. The same command given again watches what is still in the
queue and submits the rest. Where it cannot tell (no accounting, another executor) it submits a job a second time; that
is harmless: the second one waits for the lock of the run folder, then finds DONE and ends.

What Slurm has ended for good is seen (slurm_queue.py): a job that was preempted or has lost its node is given
RETURN_SECONDS to be in the queue again, as with JobRequeue or PreemptMode=REQUEUE; with PreemptMode=CANCEL it is not,
the watching of it ends, and the same command submits it again. A Slurm that does not answer is given SILENT_SECONDS.

Before a time limit, or a preemption, Slurm sends the signal that submitit chose. The run then ends its step, keeps
a checkpoint, and is put into the queue again. Logs are in the folder `slurm` beside the run folders.
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

MINUTES = 240  # of a job before Slurm ends it and it is queued again
REQUEUES = 100  # after a time limit; preemptions do not count
POLL_SECONDS = 1.0
RESULT_SECONDS = 15.0  # for the result of a job that has ended to come through a network file system
WARN_SECONDS = 90  # between the signal and the end
RETURN_SECONDS = 120.0  # for a job that Slurm took away to be queued again, or a new one to be known
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
    """Whether all was carried out (failed jobs included); False after Ctrl-C, which leaves the jobs in the queue.

    workers: at most so many of an array at once (of each thousand jobs). cpus (rounded up), gpus, memory_gb, minutes:
    of each job. executor: `local` is submitit's own, processes of this machine. `say` receives from time to time what
    the sweep waits for. ValueError in one line if submitit or Slurm is not there, or Slurm refuses the jobs; RunsFailed
    where Slurm no longer answers.
    """
    if not jobs:
        return True
    submitit = find_submitit(executor)
    logs = Path(jobs[0].out).absolute() / "slurm"
    shared = {"signal_delay_s": warn_seconds, "gpus_per_node": gpus or None, "cpus_per_task": math.ceil(cpus)}
    if executor == "slurm":
        made = submitit.SlurmExecutor(logs, max_num_timeout=REQUEUES)
        memory = None if memory_gb is None else f"{math.ceil(memory_gb * 1024)}MB"
        most = {"array_parallelism": workers or LONGEST_ARRAY}  # submitit's own default would hold some back
        configure(made, shared | most, job_name=NAME, partition=partition, time=math.ceil(minutes), mem=memory)
        queue: Queue | None = Queue(NAME)
        watched, waiting = submit_all(submitit, made, jobs, threads, queue), []
    else:
        made = submitit.LocalExecutor(logs, max_num_timeout=REQUEUES)
        configure(made, shared, timeout_min=minutes)
        queue, watched, waiting = None, [], list(jobs)
    if beginning:  # said once Slurm has taken the jobs: what the user can mend is one line
        say(beginning)
    return _watch(made, watched, waiting, tell, say, workers=workers, threads=threads, queue=queue)


def _watch(
    made: Any,
    watched: list[Watched],
    waiting: list[Job],
    tell: Tell,
    say: Say,
    *,
    workers: int | None,
    threads: int,
    queue: Queue | None,
) -> bool:
    """Submit those that wait when they may begin, and see all of them out; what `run_jobs` returns."""
    open_ids = {job.run_id for job in (*waiting, *(one.job for one in watched))}
    statements = Statements(say)
    try:
        while waiting or watched:
            while (workers is None or len(watched) < workers) and (job := ready(waiting, open_ids)) is not None:
                waiting.remove(job)
                watched += submit(made, [job], threads)
            for one in list(watched):
                if (outcome := _outcome(one, queue, say)) is not None:
                    watched.remove(one)
                    open_ids.discard(one.job.run_id)
                    tell(one.job, *outcome)
                    statements.happened()
            if watched:
                if queue is not None:
                    queue.ask([one.number for one in watched])
                    _must_answer(queue, watched)
                statements.waiting(partial(_waiting_line, watched, len(waiting), queue))
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return False
    return True


def _must_answer(queue: Queue, watched: Sequence[Watched]) -> None:
    """RunsFailed where Slurm has not answered for too long: its jobs cannot be watched, and may well go on."""
    if queue.silent_seconds > SILENT_SECONDS:
        jobs = counted(len(watched), "job")
        raise RunsFailed(
            f"Slurm has not answered (squeue, sacct) for {queue.silent_seconds / 60:.0f} minutes; {jobs} "
            "may go on without this command, and the same command watches them again"
        )


def _waiting_line(watched: Sequence[Watched], num_waiting: int, queue: Queue | None) -> str:
    """What is waited for."""
    if queue is None:
        return at_work({one.job.run_id: (one.job, one.since) for one in watched}, num_waiting)
    if queue.silent_seconds > RETURN_SECONDS:
        return f"  waiting for Slurm, which has not answered for {queue.silent_seconds / 60:.0f} minutes"
    return f"  waiting for {counted(len(watched), 'job')} of Slurm: {queue.summary([one.number for one in watched])}"


def _may_come(one: Watched, queue: Queue | None) -> bool:
    """Whether a job without a result may still bring one: it is in the queue, or has not left it for long."""
    here = not one.submitted.done() if queue is None else queue.has(one.number)
    if here:
        one.ended = None
        return True
    one.ended = one.ended or time.monotonic()
    may_return = queue is not None and queue.state(one.number) in (*MAY_RETURN, UNKNOWN)
    return time.monotonic() - one.ended < (RETURN_SECONDS if may_return else RESULT_SECONDS)


def _outcome(one: Watched, queue: Queue | None, say: Say) -> tuple[Status, float] | None:
    """How a job ended and its seconds, None while it has not; what is lost or broken leaves FAILED in its folder.

    One that Slurm took away from its node is `stopped`: nothing is wrong with it, the same command submits it again.
    """
    result = one.submitted.paths.result_pickle
    if not result.exists() and _may_come(one, queue):
        return None
    seconds = time.monotonic() - one.since
    if result.exists():
        error = one.submitted.exception()
        if error is None:
            status, spent = one.submitted.result()
            return ended_here(one.job, status), spent
        lines = [line for line in str(error).splitlines() if line.strip("- ")]
        lines = [line for line in lines if "job.stderr" not in line and "  - " not in line]
    elif one.job.folder.done:  # killed between its end and its result
        return "done", seconds
    elif queue is not None and (state := queue.state(one.number)) in MAY_RETURN:
        say(
            f"  {one.job.run_id}: Slurm ended its job {one.number} ({state}) and has not queued it again within "
            f"{RETURN_SECONDS:.0f} s; the same command submits it again and goes on from its checkpoint"
        )
        return "stopped", seconds
    else:
        log = one.submitted.stderr() or one.submitted.stdout() or ""
        how = "" if queue is None or queue.state(one.number) == UNKNOWN else f" ({queue.state(one.number)})"
        told = f"its job {one.number} was ended from outside{how}; the logs are {one.submitted.paths.stderr}"
        lines = [told, *log.splitlines()[-LAST_LINES + 1 :]]
    one.job.folder.fail("\n".join(lines[-LAST_LINES:]))
    return "failed", seconds
