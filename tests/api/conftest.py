"""One small finished run, made through the Python door, and registries that forget what a test registers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import chainlift as cl
from chainlift.api import pieces
from chainlift.learning.presets import ALGORITHMS
from chainlift.learning.reward import REWARDS
from chainlift.models.families import FAMILIES
from chainlift.stages import kind_registry
from chainlift.tasks.registry import TASKS

SMALL = [
    "task.d=4",
    "model.layers=1",
    "model.width=16",
    "pretrain.steps=6",
    "pretrain.batch_size=16",
    "posttrain.prompts=8",
    "posttrain.steps=4",
    "evaluate.prompts=32",
    "evaluate.during=16",
    "evaluate.pass_at_k_prompts=2",
    "evaluate.pass_at_k_samples=2",
    "threads=1",
]


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> cl.Run:
    """A finished run with two kept checkpoints of its first stage; tests must not change it."""
    out = tmp_path_factory.mktemp("door") / "runs"
    return cl.run("tiny", *SMALL, "pretrain.keep=[3]", seed=1, out=out, quiet=True, page=False)


@pytest.fixture
def own_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the test registers is gone afterwards."""
    for registry in (TASKS, FAMILIES, REWARDS, ALGORITHMS):
        monkeypatch.setattr(registry, "_pieces", dict(registry._pieces))
    monkeypatch.setattr(kind_registry.KINDS, "_pieces", dict(kind_registry.KINDS._pieces))
    before = set(pieces.REGISTERED)
    yield
    pieces.REGISTERED.clear()
    pieces.REGISTERED.update(before)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with figures that need no screen."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    return tmp_path
