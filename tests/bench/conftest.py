"""A model so small that an action takes milliseconds."""

from pathlib import Path

import pytest

from chainlift.bench import states
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe

SIZES = [
    "task.d=5",
    "model.layers=2",
    "model.width=16",
    "model.heads=2",
    "pretrain.batch_size=12",
    "posttrain.prompts=6",
    "posttrain.group_size=4",
    "evaluate.during=16",
]


@pytest.fixture
def small() -> Recipe:
    return recipes.load("tiny", SIZES)


@pytest.fixture
def folder(small: Recipe, tmp_path: Path) -> Path:
    """A checkpoint of a new model."""
    own = tmp_path / "model"
    own.mkdir()
    states.save_new(small, own)
    return own
