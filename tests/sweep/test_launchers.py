"""One function for all launchers: what does not go together is one line."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from chainlift.sweep import launchers
from chainlift.sweep.launchers import Options, run
from tests.sweep.test_local import grid


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"launcher": "slrum"}, "--launcher: 'slrum' is none of local, ray, slurm, did you mean 'slurm'?"),
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


def test_by_default_there_is_one_process_a_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(launchers.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(launchers.local, "run_jobs", lambda jobs, tell, **options: bool(given.update(options)) or True)
    assert run(grid(tmp_path), lambda *told: None, Options())
    assert given == {"workers": 6, "threads": None}
