"""The jobs of a sweep on a Ray cluster: one that is there (`address`), or one started here for as long as it takes.

Every node must see the same folder of runs. A run on a node that is lost is begun again on another one, from its last
checkpoint, by Ray's own retries.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from chainlift.sweep.jobs import Job, Status, work

TRIES = 3  # of a job whose node or process was lost
TELL = Callable[[Job, Status, float], None]


def run_jobs(jobs: Sequence[Job], tell: TELL, *, address: str | None = None, cpus: float = 1, gpus: float = 0) -> bool:
    """Whether all was carried out (failed jobs included); False if the user stopped it. `tell` hears of each end.

    cpus, gpus: what Ray reserves for each job; a job computes with as many threads as it has CPUs. ValueError in one
    line if Ray is not installed or its cluster does not answer.
    """
    ray = _connect(address)
    try:
        return _carry_out(ray, jobs, tell, cpus=cpus, gpus=gpus)
    finally:
        ray.shutdown()


def _carry_out(ray: Any, jobs: Sequence[Job], tell: TELL, *, cpus: float, gpus: float) -> bool:
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=TRIES)(_work)
    started = time.monotonic()
    references: dict[str, Any] = {}
    pending: dict[Any, Job] = {}
    for job in jobs:  # those that others wait for come first
        before = references.get(job.after) if job.after else None
        reference = remote.options(name=job.run_id).remote(job, max(int(cpus), 1), before)
        references[job.run_id] = reference
        pending[reference] = job
    try:
        while pending:
            ended, _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(ended[0])
            tell(job, _status(ray, ended[0], job), time.monotonic() - started)
    except KeyboardInterrupt:
        for reference in pending:
            ray.cancel(reference)
        return False
    return True


def _work(job: Job, threads: int, _after: Any) -> Status:
    """In a Ray worker: the job, once Ray has the result of the one that it waits for."""
    return work(job, threads=threads)


def _status(ray: Any, reference: Any, job: Job) -> Status:
    """How a job ended; one whose nodes were lost too often has failed, and its folder says so."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        job.folder.fail(f"lost by Ray {TRIES + 1} times: {str(error).splitlines()[0]}")
        return "failed"


def _connect(address: str | None) -> Any:
    """The module ray, connected."""
    try:
        import ray
    except ImportError as error:
        raise ValueError("--launcher ray needs the extra ray: pip install 'chainlift[ray]'") from error
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        told = " ".join(str(error).split())[:200]
        raise ValueError(f"--address: no Ray cluster answers at {address}: {told}") from error
    return ray
