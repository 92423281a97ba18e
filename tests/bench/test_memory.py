"""Peak memory, each case in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from chainlift.bench import memory, states
from chainlift.bench.machine import Machine
from chainlift.bench.states import States
from chainlift.bench.suite import Suite
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe


def test_the_peak_stays_after_the_memory_is_given_back() -> None:
    program = """
import torch
from chainlift.stages import recipe as recipes
from chainlift.bench import memory, states
before = memory.used("cpu")
torch.ones(16 * 2**20)  # 64 MiB
print(memory.peak("cpu") - before, memory.used("cpu") - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    at_peak, left = map(int, done.stdout.split())
    assert 60 * 2**20 < at_peak < 80 * 2**20
    if memory.peak_of(os.getpid()) is not None:
        assert left < 20 * 2**20


def test_a_gpus_memory_is_what_torch_has_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 3)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 5)
    assert (memory.used("cuda"), memory.peak("cuda")) == (3, 5)


@pytest.mark.slow
@pytest.mark.smoke
def test_a_batch_read_at_once_takes_more_memory(small: Recipe, tmp_path: Path) -> None:
    """A large batch in one piece against several, in processes of their own."""
    program = f"""
from pathlib import Path
from chainlift.bench import memory
from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine
from chainlift.models.transformer.transformer import Transformer
from chainlift.stages import recipe as recipes
Transformer.tokens_per_pass = 10**9
act = Engine(recipes.build({{recipe}}), Path({str(tmp_path)!r}), Machine()).next_token_update()
before = memory.used("cpu")
for step in range(2):
    act(step)
print(memory.peak("cpu") - before)
"""
    recipe = recipes.override(small, ["pretrain.batch_size=8192", "model.width=64"])
    states.save_new(recipe, tmp_path)
    suite = Suite(States(recipe, tmp_path, None), Machine(), peers=False)
    comparison = next(suite.comparisons())
    ours = memory.added(suite, comparison, comparison.cases[0], threads=1)
    program = program.format(recipe=recipe.model_dump(mode="json"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 0 < ours < int(done.stdout) / 1.5


def test_a_process_that_fails_says_why(small: Recipe, tmp_path: Path) -> None:
    suite = Suite(States(small, tmp_path / "nothing", None), Machine(), peers=False)
    comparison = next(suite.comparisons())
    with pytest.raises(RuntimeError, match=r"the memory of stage1, float32, ours, cannot be measured: .*missing"):
        memory.added(suite, comparison, comparison.cases[0], threads=1)
