"""`chainlift evaluate` on several processes: they share the prompts, and one of them speaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import chainlift


@pytest.mark.slow
def test_two_processes_measure_what_one_measures(finished: Path) -> None:
    typed = ["evaluate", str(finished), "--prompts", "50", "--json"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "chainlift"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *typed], capture_output=True, text=True, timeout=110, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    alone = json.loads(chainlift(*typed).stdout.splitlines()[-1])
    together = json.loads(line)
    assert together["greedy"] == alone["greedy"]
    assert together["sampled"] == alone["sampled"]
