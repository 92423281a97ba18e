"""Real Ray clusters, on loopback: two nodes of which one is killed in the middle, one of our own, and Ctrl-C."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

RAY = {  # read when ray is imported, and by the processes that it starts
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # everything listens on loopback
    "RAY_USAGE_STATS_ENABLED": "0",
    # A lost node is noticed in seconds; by default that takes up to half a minute.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "10",
}
os.environ.update(RAY)

from chainlift.sweep import local, on_ray  # noqa: E402
from chainlift.sweep.jobs import Job  # noqa: E402
from tests.sweep.test_local import grid  # noqa: E402

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1", "include_dashboard": False}


@pytest.mark.slow
def test_a_lost_nodes_runs_are_begun_again_and_end_with_the_same_numbers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from ray.cluster_utils import Cluster

    calm, lost = tmp_path / "calm", tmp_path / "lost"
    texts = ("pretrain.steps=400", "mixture.p_cot=.2,.4")
    local.run_jobs(grid(calm, *texts), lambda *told: None, workers=2)
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        second = cluster.add_node(**NODE)
        jobs = grid(lost, *texts)
        killed: list[bool] = []

        def kill() -> None:
            while len(list(lost.glob("tiny-*/checkpoints/pretrain-*/state.json"))) < 2:
                time.sleep(0.05)
            cluster.remove_node(second, allow_graceful=False)
            killed.append(True)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        told: list[str] = []
        capfd.readouterr()
        assert on_ray.run_jobs(jobs, lambda job, status, seconds: told.append(status), address=cluster.address)
        assert capfd.readouterr() == ("", "")
    finally:
        cluster.shutdown()
    assert killed
    assert told == ["done", "done"]
    for job in jobs:
        for name in ("metrics.jsonl", "rollouts.jsonl"):
            assert (calm / job.run_id / name).read_bytes() == (lost / job.run_id / name).read_bytes()


def descendants(process: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True).stdout.split()
    return [one for child in map(int, found) for one in (child, *descendants(child))]


def listening(processes: list[int]) -> set[str]:
    """The addresses at which processes listen, as /proc/net writes them."""
    sockets = set()
    for process in processes:
        for handle in Path(f"/proc/{process}/fd").glob("*"):
            try:
                sockets.add(os.readlink(handle))
            except OSError:  # closed meanwhile
                continue
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]
    ]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


@pytest.mark.slow
def test_a_cluster_of_its_own_hears_this_machine_only_and_is_gone_afterwards(tmp_path: Path) -> None:
    jobs = grid(tmp_path, "posttrain.lr=1e-4,2e-4")
    told: list[tuple[bool, str]] = []
    heard: set[str] = set()

    def tell(job: Job, status: str, seconds: float) -> None:
        told.append((job.is_shared, status))
        heard.update(listening([os.getpid(), *descendants(os.getpid())]))

    assert on_ray.run_jobs(jobs, tell)
    assert told == [(True, "done"), (False, "done"), (False, "done")]
    assert heard <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert heard
    left = [Path(f"/proc/{one}/cmdline").read_text(encoding="utf-8") for one in descendants(os.getpid())]
    assert not [line for line in left if "raylet" in line or "gcs_server" in line]


def test_an_address_where_nothing_listens_is_one_line(tmp_path: Path) -> None:
    started = time.monotonic()
    for address, message in {
        "127.0.0.1:1": r"no Ray cluster answers at 127\.0\.0\.1:1: Connection refused",
        "nowhere.invalid:6379": "no Ray cluster answers at nowhere.invalid:6379",
        "somewhere": "'somewhere' is not an address; write HOST:PORT",
    }.items():
        with pytest.raises(ValueError, match=message) as found:
            on_ray.run_jobs(grid(tmp_path), lambda *told: None, address=address)
        assert "\n" not in str(found.value)
    assert time.monotonic() - started < 20


@pytest.mark.slow  # Ray tries for a quarter of a minute
def test_an_address_where_something_else_listens_ends_with_rays_own_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "chainlift", "sweep", "tiny", "posttrain.lr=1e-4,2e-4", "--launcher", "ray"]
        done = subprocess.run(
            [*command, "--address", address], capture_output=True, text=True, cwd=tmp_path, timeout=90
        )
    assert done.returncode == 2
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: --address: no Ray cluster can be used at {address}: Failed to connect to Ray")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_job_larger_than_every_node_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no node of the Ray cluster has --cpus 1 and --gpus 64; there are nodes of"):
        on_ray.run_jobs(grid(tmp_path), lambda *told: None, gpus=64)
