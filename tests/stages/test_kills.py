"""A bounded part of `python -m tests.kills`: runs are ended at calls to the disk, and go on to the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHOSEN = {
    ("run", "kill"): 13,
    ("sweep", "kill"): 29,
    ("again", "kill"): 41,
    ("run", "power"): 23,
    ("sweep", "power"): 41,
    ("again", "power"): 31,
    ("language", "kill"): 47,
    ("text", "kill"): 61,
    ("text", "power"): 71,
}
"""Of each scene and way to end it: every how many of its calls, or of the states of the disk, are tried."""

CALLS = {"run": 580, "sweep": 620, "again": 455, "language": 440, "text": 800}
"""Of each scene, calls to the disk that must be seen: nine tenths of those on 2026-11-28."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scene", "how"),
    [pytest.param(*one, marks=[pytest.mark.smoke] if one == ("sweep", "power") else []) for one in CHOSEN],
)
def test_a_run_that_ends_at_a_call_to_the_disk_goes_on(scene: str, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kills", scene, how, str(CHOSEN[scene, how])],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["failed"], done.stderr
    assert found["total"] == sum(found["calls"].values()) >= CALLS[scene]
    assert found["ended"] >= 5
    if how == "kill":
        assert found["ended"] >= CALLS[scene] // CHOSEN[scene, how]
    assert {"mkdir", "open", "write", "fsync", "rename", "replace", "unlink", "rmdir"} <= set(found["calls"])
