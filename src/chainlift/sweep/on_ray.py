"""The jobs of a sweep on a Ray cluster: one that is there (`address`), or one started here for as long as it takes.

Every node must see the same folder of runs. The driver hands a job to Ray only when it may begin, so that one that
waits for a shared stage occupies nothing. A job whose node or process is lost is handed out again, and goes on from
its last checkpoint on whatever node Ray finds; Ray's own retries are off, so that there is one count and one record.
If the lost node was only cut off and still computes, the lock of the run folder keeps the second try waiting.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from chainlift.sweep import ray_cluster
from chainlift.sweep.jobs import TRIES, Job, Status, Tell, ended_here, ready, timed_work
from chainlift.sweep.waiting import Say, Statements, at_work, counted, silent

LOOK_SECONDS = 5.0  # between two looks at whether something is to be said
STOP_SECONDS = 60.0  # for a run to end its step and keep a checkpoint, after Ctrl-C


def run_jobs(
    jobs: Sequence[Job],
    tell: Tell,
    *,
    address: str | None = None,
    workers: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
    threads: int = 1,
    say: Say = silent,
    beginning: str = "",
) -> bool:
    """Whether all was carried out (failed jobs included); False if the user stopped it. `tell` receives each end, `say`
    from time to time what the sweep waits for.

    workers: at most so many at once (None: as many as the cluster holds). cpus, gpus: what Ray reserves for each.
    threads: that each computes with. Ctrl-C ends the runs at their next step, with a checkpoint; a second one ends at
    once. ValueError in one line if Ray is not installed, its cluster does not answer, or no node of it has what a job
    needs.
    """
    ray = ray_cluster.connect(address, cpus=cpus, gpus=gpus)
    try:
        if beginning:  # said once there is a cluster: what the user can mend is one line
            say(beginning)
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(timed_work)
        return _carry_out(ray, remote, jobs, tell, workers=workers, threads=threads, say=say)
    finally:
        ray.shutdown()


def _carry_out(
    ray: Any, remote: Any, jobs: Sequence[Job], tell: Tell, *, workers: int | None, threads: int, say: Say
) -> bool:
    waiting, statements = list(jobs), Statements(say)
    running: dict[Any, Job] = {}
    since: dict[str, float] = {}
    tries = dict.fromkeys((job.run_id for job in jobs), 0)
    open_ids = set(tries)
    try:
        while waiting or running:
            while (workers is None or len(running) < workers) and (job := ready(waiting, open_ids)) is not None:
                waiting.remove(job)
                tries[job.run_id] += 1
                since.setdefault(job.run_id, time.monotonic())
                running[remote.options(name=job.run_id).remote(job, threads)] = job
            ended, _ = ray.wait(list(running), num_returns=1, timeout=LOOK_SECONDS)
            if not ended:
                given = {job.run_id: (job, since[job.run_id]) for job in running.values()}
                statements.waiting(lambda given=given: f"{at_work(given, len(waiting))}; {_room(ray)}")
                continue
            (reference,) = ended
            job = running.pop(reference)
            status, seconds, lost = _outcome(ray, reference, job)
            if lost is not None and tries[job.run_id] < TRIES:
                waiting.insert(0, job)
                continue
            if lost is not None:
                job.folder.fail(f"lost by Ray {TRIES} times: {lost}")
            open_ids.discard(job.run_id)
            tell(job, status, seconds or time.monotonic() - since[job.run_id])
            statements.happened()
    except KeyboardInterrupt:
        runs = counted(len(running), "run")
        say(f"  waiting at most {STOP_SECONDS:.0f} s for {runs} to keep a checkpoint after this step")
        _stop(ray, running)
        return False
    return True


def _outcome(ray: Any, reference: Any, job: Job) -> tuple[Status, float | None, str | None]:
    """(how a job ended, its seconds if they are known, what Ray says if it was lost)."""
    try:
        status, seconds = ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # chainlift itself is missing on the node, or another version
        job.folder.fail(f"the Ray worker could not begin: {_line(error.cause or error, -1)}")
        return "failed", None, None
    except ray.exceptions.TaskCancelledError:
        return "stopped", None, None
    except ray.exceptions.RayError as error:
        return "failed", None, _line(error, 0)
    return ended_here(job, status), seconds, None


def _room(ray: Any) -> str:
    """What of the cluster is free: none of it may be large enough any more for those that wait in Ray's own queue."""
    alive, free = sum(node["Alive"] for node in ray.nodes()), ray.available_resources()
    return f"Ray has {counted(alive, 'node')}, free {free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs"


def _line(error: BaseException, which: int) -> str:
    """One line of what an error says, its name if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[which]


def _stop(ray: Any, running: dict[Any, Job]) -> None:
    """Ask all jobs to keep a checkpoint and end, and see them out."""
    for reference in running:
        ray.cancel(reference)  # in the worker: Ctrl-C
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=STOP_SECONDS)
