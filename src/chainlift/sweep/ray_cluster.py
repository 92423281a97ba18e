"""The way to a Ray cluster: one that answers at an address, or one of this process's own that only this machine hears.

Ray tries for a quarter of an hour to reach an address where nothing is, so a connection is tried first, and Ray is
asked to try once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from typing import Any

from chainlift.visible import one_line

ANSWER_SECONDS = 5  # for an address to be reached, and again for Ray's head to answer there
STORE_BYTES = 100_000_000  # a job returns a word and a number


def connect(address: str | None, *, cpus: float, gpus: float) -> Any:
    """The module ray, connected. ValueError in one line if that cannot be, or a job would wait for ever for a node.

    address: HOST:PORT, `auto` (the cluster that this machine belongs to) or ray://HOST:PORT; None starts a cluster
    here, which ends with `ray.shutdown()`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # read when ray is imported, as all of these
    os.environ.setdefault("RAY_py_gcs_connect_timeout_s", str(ANSWER_SECONDS))
    if address is None:  # one listens on loopback only, as on a laptop's system
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # else its workers give way to all else on the machine
    try:
        import ray
    except ImportError as error:
        raise ValueError("--launcher ray needs the extra ray: pip install 'chainlift[ray]'") from error
    if address is not None and address != "auto":
        _must_listen(address)
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    try:
        ray.init(
            address=address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else own),
        )
    except (Exception, SystemExit) as error:  # SystemExit: what answered was no Ray
        _leave(ray)
        told = one_line(str(error), longest=200)
        where = f"--address: no Ray cluster can be used at {address}" if address else "Ray could not be started here"
        raise ValueError(f"{where}: {told}") from error
    if (worker := sys.modules.get("ray._private.worker")) is not None:
        vars(worker)["_worker_logs_enabled"] = False  # it would print of lost nodes, whatever log_to_driver says
    try:
        _must_fit(ray, cpus, gpus)
    except ValueError:
        ray.shutdown()
        raise
    return ray


def _must_listen(address: str) -> None:
    """ValueError unless something listens at the address; whether it is Ray, Ray finds out."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"--address: {address!r} is no address; write HOST:PORT, for example 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"--address: no Ray cluster answers at {address}: {reason}") from error


def _must_fit(ray: Any, cpus: float, gpus: float) -> None:
    """ValueError if no node is large enough for a job."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        sizes = sorted({f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes})
        raise ValueError(
            f"no node of the Ray cluster has --cpus {cpus:g} and --gpus {gpus:g}; there are nodes of {'; '.join(sizes)}"
        )


def _leave(ray: Any) -> None:
    """Undo half a connection."""
    with contextlib.suppress(Exception, SystemExit):
        ray.shutdown()
