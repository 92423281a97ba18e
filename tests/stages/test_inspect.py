"""Looking at checkpoints draws prompts as measurements do: held-out ones, where the task keeps some from training."""

import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from chainlift import yaml_text
from chainlift.models import families
from chainlift.models.hub import model_folder
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.llama import Llama
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.seeding import stream
from chainlift.stages import before_after, inspect
from chainlift.stages import recipe as recipes
from chainlift.tasks.multiplication import Multiplication, MultiplicationSettings
from tests.models.tiny_text import TinyTask

TASK = Multiplication(MultiplicationSettings(n=1, held_out=0.2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with an untrained model as both of its checkpoints."""
    model = families.build(ModelSettings(layers=1, width=8, heads=1), TASK).initialize(stream(0, "model"))
    saved = tmp_path / "checkpoints/pretrain-1"
    saved.mkdir(parents=True)
    model_folder.save(model, TASK, saved)
    shutil.copytree(saved, tmp_path / "checkpoints/posttrain-1")
    stages = {"pretrain": {"kind": "ntp"}, "posttrain": {"kind": "rl", "start": "pretrain", "algorithm": "grpo"}}
    (tmp_path / "recipe.yaml").write_text(yaml_text.dump({"stages": stages}), encoding="utf-8")
    return tmp_path


def pairs(prompts: Tensor) -> Tensor:
    return prompts[:, [0, 2]]


def test_sample_draws_held_out_prompts(folder: Path) -> None:
    saved = folder / "checkpoints/pretrain-1"
    found = [inspect.sample(saved, None, greedy=True, count=1, temperature=1, seed=seed)[0] for seed in range(12)]
    asked = [TASK.vocabulary.encode(" ".join(one["prompt"].split())) for one in found]
    assert bool(TASK.is_held_out(pairs(torch.stack(asked))).all())


def test_before_and_after_are_compared_on_held_out_prompts(folder: Path) -> None:
    with (
        mock.patch.object(before_after.checkpoint, "steps", lambda path, stage: {1: path / f"{stage}-1"}),
        mock.patch.object(before_after, "kl_by_position", wraps=before_after.kl_by_position) as compared,
    ):
        before_after.before_after(folder, prompts=20, samples=2)
    assert bool(TASK.is_held_out(pairs(compared.call_args.args[3])).all())


def test_an_evaluation_says_that_prompts_are_held_out(folder: Path) -> None:
    found = inspect.evaluate(folder / "checkpoints/pretrain-1", 4, temperature=1.0, seed=0)
    assert (found["prompts_held_out"], found["prompts_seen_share"]) == (True, 0.0)


@pytest.mark.parametrize("name", ["model", "a: [model]"])
def test_a_recipe_from_scratch_says_on_which_problems_a_folder_is_measured(name: str, tmp_path: Path) -> None:
    """The model is that of the folder, whose sizes are not those of the recipe."""
    settings = LlamaSettings(layers=1, width=32, context=512)
    task: Any = TinyTask()
    (tmp_path / name).mkdir()
    model_folder.save(Llama(settings, task.vocabulary.size, 256).initialize(stream(0, "model")), task, tmp_path / name)
    changes = ["task.train_size=20", "task.test_size=5", "task.max_tokens=100", "device=cpu"]
    recipe = recipes.load("llm-tiny", [*changes, "task.min_steps=2", "task.max_steps=2"])
    model, measured = inspect._load(tmp_path / name, recipe, trust=False)
    assert (model.settings.layers, model.vocabulary_size) == (1, task.vocabulary.size)
    assert measured.settings == recipe.task
