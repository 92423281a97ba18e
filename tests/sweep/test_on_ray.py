"""A real Ray cluster: two nodes on this machine, one of them killed in the middle."""

import sys
import threading
import time
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from chainlift.sweep import local, on_ray
from tests.sweep.test_local import grid


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in on_ray.SETTINGS.items():
        monkeypatch.setenv(key, value)


@pytest.mark.slow
def test_a_lost_nodes_runs_are_begun_again_and_end_with_the_same_numbers(tmp_path: Path) -> None:
    calm, lost = tmp_path / "calm", tmp_path / "lost"
    texts = ("pretrain.steps=600", "mixture.p_cot=.2,.4")
    local.run_jobs(grid(calm, *texts), lambda *told: None, workers=2, threads=1)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        jobs = grid(lost, *texts)

        def kill() -> None:
            while len(list(lost.glob("pretrain-*/checkpoints/pretrain-*/trainer_state.json"))) < 2:
                time.sleep(0.05)
            cluster.remove_node(second, allow_graceful=False)

        killer = threading.Thread(target=kill)
        killer.start()
        told: list[str] = []
        assert on_ray.run_jobs(jobs, lambda job, status, seconds: told.append(status), address=cluster.address)
        killer.join()
    finally:
        cluster.shutdown()
    assert told == ["done", "done"]
    for job in jobs:
        for name in ("metrics.jsonl", "rollouts.jsonl"):
            assert (calm / job.run_id / name).read_bytes() == (lost / job.run_id / name).read_bytes()


@pytest.mark.slow
def test_a_cluster_of_its_own_and_shared_stages(tmp_path: Path) -> None:
    jobs = grid(tmp_path, "posttrain.lr=1e-4,2e-4")
    told: list[tuple[bool, str]] = []
    assert on_ray.run_jobs(jobs, lambda job, status, seconds: told.append((job.stage_1_only, status)))
    assert told[0] == (True, "done")
    assert [status for _, status in told] == ["done"] * 3


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "host:port"])
def test_an_address_where_nothing_answers_is_one_line(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValueError, match=rf"--address: .*{address}") as found:
        on_ray.run_jobs(grid(tmp_path), lambda *told: None, address=address)
    assert "\n" not in str(found.value)


def test_without_ray_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'chainlift\[ray\]'"):
        on_ray.run_jobs(grid(tmp_path), lambda *told: None)
