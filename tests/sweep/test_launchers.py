"""One function for all launchers: what does not go together is one line, and Ctrl-C loses nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chainlift.sweep import launchers
from chainlift.sweep.launchers import Options, run
from tests.sweep.test_local import grid


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"launcher": "slrum"}, "--launcher: 'slrum' is not one of local, ray, slurm, did you mean 'slurm'?"),
        ({"workers": 0}, "--workers must be 1 or more, not 0"),
        ({"threads": 0}, "--threads must be 1 or more, not 0"),
        ({"address": "a:1"}, "--address goes with --launcher ray only, not with local"),
        ({"cpus": 2}, "--cpus goes with --launcher ray or slurm only, not with local"),
        ({"launcher": "ray", "partition": "gpu"}, "--partition goes with --launcher slurm only, not with ray"),
        ({"launcher": "ray", "memory_gb": 4.0}, "--memory-gb goes with --launcher slurm only, not with ray"),
        ({"launcher": "ray", "cpus": 0}, "--cpus must be more than 0, not 0"),
        ({"launcher": "ray", "gpus": -1}, "--gpus must be 0 or more, not -1"),
        ({"launcher": "slurm", "gpus": 0.5}, "--gpus must be a whole number with --launcher slurm, not 0.5"),
        ({"launcher": "slurm", "minutes": 0}, "--minutes must be 1 or more, not 0"),
        ({"launcher": "slurm", "memory_gb": 0.0}, "--memory-gb must be more than 0, not 0"),
    ],
)
def test_what_does_not_go_together_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Options(**options)


@pytest.mark.parametrize(("launcher", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_extra_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: Any, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    line = f"--launcher {launcher} needs the extra {launcher}: pip install 'chainlift[{launcher}]'"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        run(grid(tmp_path), lambda *told: None, Options(launcher=launcher))


def test_nothing_to_do_asks_for_no_cluster() -> None:
    assert run([], lambda *told: None, Options(launcher="ray", address="127.0.0.1:1"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"workers": 6, "threads": 1}),
        ({"workers": 2}, {"workers": 2, "threads": 3}),
        ({"workers": 12}, {"workers": 12, "threads": 1}),
        ({"workers": 2, "threads": 1}, {"workers": 2, "threads": 1}),
    ],
)
def test_cores_are_divided_among_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], expected: dict[str, int]
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(launchers, "cores", lambda: 6)
    monkeypatch.setattr(launchers.local, "run_jobs", lambda jobs, tell, **options: bool(given.update(options)) or True)
    assert run(grid(tmp_path), lambda *told: None, Options(**options))
    del given["say"]
    assert given == expected


@pytest.mark.parametrize(
    ("environment", "options", "threads", "source"),
    [
        ("1", {"workers": 1}, 1, "OMP_NUM_THREADS"),
        ("3,2", {}, 3, "OMP_NUM_THREADS"),  # the second number is of nested teams
        ("1", {"workers": 1, "threads": 4}, 4, "--threads"),
        ("", {"workers": 2}, 3, "6 cores"),
        ("many", {"workers": 2}, 3, "6 cores"),
        ("0", {"workers": 2}, 3, "6 cores"),
        ("1", {"launcher": "slurm", "cpus": 4}, 4, "--cpus"),
    ],
)
def test_the_environments_threads_are_respected_and_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    options: dict[str, Any],
    threads: int,
    source: str,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", environment)
    monkeypatch.setattr(launchers, "cores", lambda: 6)
    chosen = Options(**options)
    assert chosen.threads_per_job == threads
    each = f"{threads} thread{'s' if threads > 1 else ''} each ({source})"
    assert chosen.plan_line(grid(tmp_path)).endswith(each)


def test_workers_and_threads_are_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    jobs = grid(tmp_path, "posttrain.lr=1e-4,2e-4")
    local = Options(workers=2)
    assert local.plan_line(jobs) == "2 runs after 1 shared stage, 2 at once, 1 thread each (OMP_NUM_THREADS)"
    with_own = grid(tmp_path, "posttrain.lr=1e-4,2e-4", "threads=3")
    assert local.plan_line(with_own).endswith("2 at once, threads=3 each (the recipe's)")
    assert local.plan_line([*jobs, *with_own]).endswith("1 thread each (OMP_NUM_THREADS), or the recipe's own (3)")
    on_ray = Options(launcher="ray", cpus=2).plan_line(jobs)
    assert on_ray.endswith("through ray, as many at once as the cluster has room for, 2 threads each (--cpus)")


def test_on_a_cluster_threads_are_the_cpus_of_a_job() -> None:
    assert Options(launcher="ray", cpus=4).threads_per_job == 4
    assert Options(launcher="ray", cpus=0.5).threads_per_job == 1
    assert Options(launcher="slurm", cpus=4, threads=2).threads_per_job == 2


DRIVER = """
import sys
from pathlib import Path
from chainlift.sweep.launchers import Options, run
from tests.sweep.test_local import grid
if __name__ == "__main__":
    jobs = grid(Path(sys.argv[1]), "pretrain.steps=100000", "pretrain.checkpoint_every=100000", seeds=(0, 1))
    print(run(jobs, lambda job, status, seconds: print(status), Options(launcher=sys.argv[2], workers=1)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["local", "ray"])
def test_ctrl_c_in_a_terminal_leaves_a_checkpoint_of_the_step_that_was_reached(tmp_path: Path, launcher: str) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    driver = subprocess.Popen(
        [sys.executable, script, tmp_path / "runs", launcher],
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not [file for file in (tmp_path / "runs").glob("tiny-*/metrics.jsonl") if file.stat().st_size > 5000]:
            assert driver.poll() is None
            time.sleep(0.05)
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to all processes
        output, errors = driver.communicate(timeout=50)
    finally:
        driver.kill()
    assert (output, errors) == ("False\n", "")
    assert len(list((tmp_path / "runs").glob("tiny-*/checkpoints/pretrain-*/state.json"))) == 1
