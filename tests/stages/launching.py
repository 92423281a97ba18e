"""Runs on several processes of this machine, and how their records are compared."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.forked import Forked

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
WORKER = Path(__file__).parent / "together.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

# float32 sums in another order differ by a few units of 2^-24 = 6e-8, and 40 updates let that grow little: the largest
# difference seen in any row is 3e-7. A count or a mean that was taken over a share instead of the batch is off by 1e-2.
TOLERANCE = 1e-5


SHORT = "pretrain.steps=12|posttrain.steps=6|continued_pretrain=null"


def rows(out: Path) -> list[dict[str, Any]]:
    folder = next(path for path in out.iterdir() if path.name.startswith("small-"))
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}/{key}")
    elif isinstance(value, list):
        for key, inner in enumerate(value):
            yield from flat(inner, f"{name}/{key}")
    else:
        yield name, value


def assert_equal(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        wanted, there = dict(flat(one)), dict(flat(other))
        assert set(there) == set(wanted)
        for name, value in wanted.items():
            told = f"{one['stage']} {one['kind']} {one['step']} {name}"
            if isinstance(value, float):
                assert there[name] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), told
            else:
                assert there[name] == value, told


def port() -> int:
    """One that is free."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(count: int, recipe: Path, out: Path, *options: str) -> list[Forked]:
    """A run on `count` processes with the environment that torchrun gives, but without torchrun as their parent."""
    shared = ENVIRONMENT | {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port())}
    return [
        Forked("run", recipe, "--out", out, *options, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]


def wait_for(out: Path, stage: str, step: int, running: Sequence[Forked | subprocess.Popen[str]]) -> None:
    """Until some metrics.jsonl shows update `step` of the stage."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in running:
            assert process.poll() is None, process.communicate()[1]
        for file in out.glob("*/metrics.jsonl"):
            found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:-1]]
            if any(row["stage"] == stage and row["step"] >= step for row in found):
                return
        time.sleep(0.01)
    raise AssertionError(f"{stage} never reached update {step}")
