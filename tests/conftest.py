"""Real parts for the slow tests: a recipe so small that a whole run takes seconds, and the installed command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.fork_server import ForkServer

# A shell that begins the tests in the background has them ignore Ctrl-C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["HF_HUB_OFFLINE"] = "1"
THREADS = torch.get_num_threads()
COMMAND = Path(sys.executable).parent / "chainlift"
SERVER = ForkServer()
GSM8K = Path(os.environ.get("CHAINLIFT_GSM8K", Path(__file__).parents[1].parent / "shared" / "data" / "gsm8k"))
SMALL = """
title: small
task: {name: running_sum, d: 4}
model: {layers: 1, width: 16, heads: 2}
stages:
  pretrain: {kind: ntp, steps: 40, batch_size: 16, checkpoint_every: 7}
  posttrain: {kind: rl, prompts: 8, group_size: 4, steps: 20, checkpoint_every: 3}
  continued_pretrain: {kind: ntp, start: pretrain, match_tokens: posttrain}
evaluate: {prompts: 64, during: 32, every: 10, every_rounds: 2, pass_at_k_prompts: 8, pass_at_k_samples: 4}
threads: 1
"""


@pytest.fixture(autouse=True)
def _threads_as_at_the_start() -> None:
    """A run sets the number of threads that its recipe names, and sums come out a bit differently with another one.

    Not what it was before this test: fixtures of a whole module, which come first, may have set it.
    """
    if torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)


def chainlift(
    *arguments: str | Path, timeout: float = 120, cwd: Path | None = None, draws: bool = False
) -> subprocess.CompletedProcess[str]:
    """The command, run to its end in the folder `cwd`, in a process of its own (fork_server.py).

    draws: figures, too (drawing.py).
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return SERVER.run([*map(str, arguments)], cwd=cwd, env=environment, timeout=timeout, draws=draws)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the small recipe; tests must not change it."""
    folder = tmp_path_factory.mktemp("finished")
    file = folder / "small.yaml"
    file.write_text(SMALL, encoding="utf-8")
    done = chainlift("run", file, "--out", folder / "runs", "--json", draws=True)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / json.loads(done.stdout.splitlines()[-1])["run_id"]


@pytest.fixture(scope="session")
def gsm8k_folder() -> str:
    """The folder of the real GSM8K, where it is at hand."""
    if not (GSM8K / "train.jsonl").exists():
        pytest.skip(f"no GSM8K in {GSM8K}; set CHAINLIFT_GSM8K to its folder")
    return str(GSM8K)
