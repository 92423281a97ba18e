"""Connect to a Ray cluster at an address, or start one that only this machine can reach.

Ray tries for a quarter of an hour to reach an address at which nothing listens. So a plain connection is tried first,
and Ray's number of retries is set to one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from typing import Any

from chainlift.visible import one_line

ANSWER_SECONDS = 5  # to reach an address, and again for Ray's head to answer there
STORE_BYTES = 100_000_000  # enough: a job returns a word and a number


def connect(address: str | None, *, cpus: float, gpus: float) -> Any:
    """The module ray, connected to a cluster that has a node with so many CPUs and GPUs.

    address: HOST:PORT, `auto` (the cluster that this machine belongs to) or ray://HOST:PORT; None starts a cluster
    here, which ends with `ray.shutdown()`. ValueError in one line if Ray cannot connect, or if every node is too small.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # read when ray is imported, as all of these
    os.environ.setdefault("RAY_py_gcs_connect_timeout_s", str(ANSWER_SECONDS))
    if address is None:  # Ray then listens on loopback only, as it does on a laptop's system
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's default gives its workers a low priority
    try:
        import ray
    except ImportError as error:
        raise ValueError("--launcher ray needs the extra ray: pip install 'chainlift[ray]'") from error
    if address is not None and address != "auto":
        _check_listening(address)
    new_cluster: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    try:
        ray.init(
            address=address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else new_cluster),
        )
    except (Exception, SystemExit) as error:  # SystemExit: another program than Ray answered
        _leave(ray)
        reason = one_line(str(error), longest=200)
        where = f"--address: no Ray cluster can be used at {address}" if address else "Ray could not be started here"
        raise ValueError(f"{where}: {reason}") from error
    if (worker := sys.modules.get("ray._private.worker")) is not None:
        vars(worker)["_worker_logs_enabled"] = False  # it would print lines about lost nodes, despite log_to_driver
    try:
        _check_size(ray, cpus, gpus)
    except ValueError:
        ray.shutdown()
        raise
    return ray


def _check_listening(address: str) -> None:
    """ValueError unless a program listens at the address; Ray itself finds out whether that is Ray."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"--address: {address!r} is not an address; write HOST:PORT, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"--address: no Ray cluster answers at {address}: {reason}") from error


def _check_size(ray: Any, cpus: float, gpus: float) -> None:
    """ValueError if no node is large enough for a job, which would then wait forever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        sizes = sorted({f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes})
        raise ValueError(
            f"no node of the Ray cluster has --cpus {cpus:g} and --gpus {gpus:g}; there are nodes of {'; '.join(sizes)}"
        )


def _leave(ray: Any) -> None:
    """Undo an incomplete connection."""
    with contextlib.suppress(Exception, SystemExit):
        ray.shutdown()
