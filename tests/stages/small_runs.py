"""The runs of tests/stages/test_sharing.py and test_starts.py: so small that a stage takes a moment."""

from pathlib import Path
from typing import Any

import pytest

from chainlift.report.terminal.reporter import Reporter
from chainlift.stages import pipeline, sharing
from chainlift.stages import recipe as recipes
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.stages.recipe import Recipe

RECIPE: dict[str, Any] = {
    "name": "small",
    "task": {"name": "running_sum", "d": 2},
    "model": {"layers": 1, "width": 8, "heads": 1},
    "stages": {"pretrain": {"kind": "ntp", "steps": 4, "batch_size": 4, "checkpoint_every": 2}},
    "evaluate": {"prompts": 16, "during": 8, "every": 2, "pass_at_k_prompts": 4, "pass_at_k_samples": 2},
    "threads": 1,
}


def made(*overrides: str) -> Recipe:
    return recipes.override(recipes.build(dict(RECIPE)), list(overrides))


def run(recipe: Recipe, out: Path, *, fresh: bool = False) -> pipeline.Result:
    return pipeline.run(recipe, out, Reporter(quiet=True), fresh=fresh)


def refuse_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, **__: Any) -> Any:
        raise AssertionError("a stage is trained again")

    monkeypatch.setattr(NextTokenPrediction, "train", train)


def shared_by(recipe: Recipe, out: Path, name: str = "pretrain") -> Path:
    """Where a stage of a recipe is shared."""
    return sharing.folder_of(out, name, recipe.stage_digest(name), recipe.seed)


def contents(folder: Path) -> dict[str, bytes]:
    files = ("metrics.jsonl", "rollouts.jsonl", "checkpoints/*/*.safetensors")
    return {str(file.relative_to(folder)): file.read_bytes() for pattern in files for file in folder.glob(pattern)}


RL = "stages.posttrain={kind: rl, prompts: 2, group_size: 2, steps: 2, checkpoint_every: 1}"
FOUR = (
    RL,
    "stages.more={kind: ntp, steps: 3, batch_size: 4}",
    "stages.again={kind: rl, prompts: 2, group_size: 2, steps: 1}",
)
