"""Launcher on a Ray cluster: an existing one (`address`), or one that is started here for the sweep.

Every node must see the same folder of runs. The driver submits a job only when it may begin, so that a job that waits
for a shared stage occupies no resources. A job whose node or process is lost is submitted again, and goes on from its
last checkpoint on any node; Ray's own retries are off, so that only the driver counts and records them. If the lost
node still computes but cannot be reached, the lock of the run folder makes the second try wait.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from chainlift.sweep import ray_cluster
from chainlift.sweep.jobs import TRIES, Job, Status, Tell, ended_here, ready, timed_work
from chainlift.sweep.waiting import Say, Statements, at_work, counted, silent

LOOK_SECONDS = 5.0  # between two checks whether a line about the waiting is due
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
    """Carry out jobs; True when all have ended, failed ones included, False if the user stopped them.

    tell: receives the end of each job. say: receives, from time to time, a line about what the sweep waits for.
    workers: the most jobs at once; None: as many as the cluster has room for. cpus, gpus: what Ray reserves for each
    job. threads: CPU threads of each job. beginning: a line for `say` once the cluster is there. Ctrl-C ends the runs
    at their next step, with a checkpoint; a second one ends them at once. ValueError in one line if Ray is not
    installed, its cluster does not answer, or no node has what a job needs.
    """
    ray = ray_cluster.connect(address, cpus=cpus, gpus=gpus)
    try:
        if beginning:  # only now: an error that the user can fix is the only line
            say(beginning)
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(timed_work)
        return _run_remotely(ray, remote, jobs, tell, workers=workers, threads=threads, say=say)
    finally:
        ray.shutdown()


def _run_remotely(
    ray: Any, remote: Any, jobs: Sequence[Job], tell: Tell, *, workers: int | None, threads: int, say: Say
) -> bool:
    """Submit jobs to the remote function as they may begin, and wait for all of them; see `run_jobs`."""
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
                active = {job.run_id: (job, since[job.run_id]) for job in running.values()}
                statements.waiting(lambda active=active: f"{at_work(active, len(waiting))}; {_free_resources(ray)}")
                continue
            (reference,) = ended
            job = running.pop(reference)
            status, seconds, loss = _outcome(ray, reference, job)
            if loss is not None and tries[job.run_id] < TRIES:
                waiting.insert(0, job)
                continue
            if loss is not None:
                job.folder.fail(f"lost by Ray {TRIES} times: {loss}")
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
    """(how a job ended, its seconds if known, Ray's reason if the job was lost)."""
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


def _free_resources(ray: Any) -> str:
    """The nodes and free resources of the cluster: after a loss, no node may be large enough for the queued jobs."""
    alive, free = sum(node["Alive"] for node in ray.nodes()), ray.available_resources()
    return f"Ray has {counted(alive, 'node')}, free {free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs"


def _line(error: BaseException, which: int) -> str:
    """One line of an error's message; its class's name if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[which]


def _stop(ray: Any, running: dict[Any, Job]) -> None:
    """Let all jobs keep a checkpoint and end, and wait for them."""
    for reference in running:
        ray.cancel(reference)  # raises KeyboardInterrupt in the worker
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=STOP_SECONDS)
