"""Real Ray clusters, on loopback: two nodes of which one is killed in the middle, one of our own, and Ctrl-C."""

import os

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # everything listens on loopback; read when ray is imported
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# A lost node is noticed in seconds; by default that takes half a minute.
os.environ["RAY_health_check_initial_delay_ms"] = "1000"
os.environ["RAY_health_check_period_ms"] = "500"
os.environ["RAY_health_check_failure_threshold"] = "10"

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chainlift.sweep import local, on_ray
from chainlift.sweep.jobs import Job
from tests.sweep.test_local import grid

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1", "include_dashboard": False}


@pytest.mark.slow
def test_a_lost_nodes_runs_are_begun_again_and_end_with_the_same_numbers(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    calm, lost = tmp_path / "calm", tmp_path / "lost"
    texts = ("pretrain.steps=400", "mixture.p_cot=.2,.4")
    local.run_jobs(grid(calm, *texts), lambda *told: None, workers=2)
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        second = cluster.add_node(**NODE)
        jobs = grid(lost, *texts)
        killed: list[float] = []

        def kill() -> None:
            while len(list(lost.glob("pretrain-*/checkpoints/pretrain-*/trainer_state.json"))) < 2:
                time.sleep(0.05)
            cluster.remove_node(second, allow_graceful=False)
            killed.append(time.monotonic())

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        told: list[str] = []
        assert on_ray.run_jobs(jobs, lambda job, status, seconds: told.append(status), address=cluster.address)
        print("ended", time.monotonic() - killed[0], "s after the node")
    finally:
        cluster.shutdown()
    assert killed
    assert told == ["done", "done"]
    for job in jobs:
        for name in ("metrics.jsonl", "rollouts.jsonl"):
            assert (calm / job.run_id / name).read_bytes() == (lost / job.run_id / name).read_bytes()
