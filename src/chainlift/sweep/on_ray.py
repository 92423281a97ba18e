"""The jobs of a sweep on a Ray cluster: one that is there (`address`), or one started here for as long as it takes.

Every node must see the same folder of runs. A run on a node that is lost is begun again on another one, from its last
checkpoint, by Ray's own retries.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

from chainlift.sweep.jobs import TRIES, Job, Status, Tell, work

ANSWERS_WITHIN = 5.0
"""Seconds for a cluster to accept a connection. Ray itself would try for minutes."""
SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # by default Ray's workers give way to everything else on the machine
}
"""Of a cluster that is started here, unless the environment says otherwise."""


def run_jobs(jobs: Sequence[Job], tell: Tell, *, address: str | None = None, cpus: float = 1, gpus: float = 0) -> bool:
    """Whether all was carried out (failed jobs included); False if the user stopped it. `tell` hears of each end.

    cpus, gpus: what Ray reserves for each job; a job computes with as many threads as it has CPUs. ValueError in one
    line if Ray is not installed or its cluster does not answer.
    """
    ray = _connect(address, cpus)
    try:
        return _carry_out(ray, jobs, tell, cpus=cpus, gpus=gpus)
    finally:
        ray.shutdown()


def _carry_out(ray: Any, jobs: Sequence[Job], tell: Tell, *, cpus: float, gpus: float) -> bool:
    """Hand out every job whose stage 1 is there, until none is left: what waits takes up no CPU."""
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=TRIES - 1)(_work)
    started = time.monotonic()
    waiting, pending = list(jobs), {}
    open_ids = {job.run_id for job in jobs}
    try:
        while waiting or pending:
            for job in [job for job in waiting if job.after not in open_ids]:
                waiting.remove(job)
                pending[remote.options(name=job.run_id).remote(job, max(int(cpus), 1))] = job
            ended, _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(ended[0])
            status = _status(ray, ended[0], job)
            open_ids.discard(job.run_id)
            tell(job, status, time.monotonic() - started)
    except KeyboardInterrupt:
        for reference in pending:
            ray.cancel(reference)
        ray.wait(list(pending), num_returns=len(pending), timeout=30)  # each keeps a checkpoint
        return False
    return True


def _work(job: Job, threads: int) -> Status:
    """In a Ray worker."""
    return work(job, threads=threads)


def _status(ray: Any, reference: Any, job: Job) -> Status:
    """How a job ended; one whose nodes were lost too often has failed, and its folder says so."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        job.folder.fail(f"lost by Ray {TRIES} times: {str(error).splitlines()[0]}")
        return "failed"


def _connect(address: str | None, cpus: float) -> Any:
    """The module ray, connected."""
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    try:
        import ray
    except ImportError as error:
        raise ValueError("--launcher ray needs the extra ray: pip install 'chainlift[ray]'") from error
    if address is not None and address != "auto":
        _reach(address)
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
    most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    if cpus > most:
        ray.shutdown()
        raise ValueError(f"--cpus is {cpus:g}, and the largest node of the Ray cluster has {most:g}")
    return ray


def _reach(address: str) -> None:
    """ValueError in one line if nothing accepts a connection at HOST:PORT."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"--address: {address!r} is no address; write HOST:PORT, as `ray start --head` shows it")
    try:
        socket.create_connection((host, int(port)), ANSWERS_WITHIN).close()
    except OSError as error:
        hint = "start one with `ray start --head`, or leave --address out"
        raise ValueError(
            f"--address: no Ray cluster answers at {address} ({error.strerror or error}); {hint}"
        ) from error
