"""Runs on a language model that are so small that a stage takes seconds: a tiny Llama from scratch, no network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chainlift.measure.text import Evaluator, GradedResponse
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs.store import RunFolder
from chainlift.stages import pipeline, sharing
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe
from chainlift.stages.stage import Place
from chainlift.stages.trl.context import TextContext

SMALL = (
    "task.train_size=300", "task.test_size=40", "task.min_steps=1", "task.max_steps=1", "task.max_number=10",
    "task.max_tokens=12", "model.scratch.layers=1", "model.scratch.width=32", "model.scratch.heads=2",
    "model.scratch.mlp=64", "model.scratch.vocabulary=400", "pretrain.steps=6", "pretrain.batch_size=8",
    "pretrain.micro_batch_size=8", "pretrain.checkpoint_every=2", "posttrain.prompts=4", "posttrain.group_size=4",
    "posttrain.micro_batch_size=8", "posttrain.steps=4", "posttrain.checkpoint_every=2", "continued_pretrain=null",
    "evaluate.prompts=16", "evaluate.during=8", "evaluate.every=3", "evaluate.every_rounds=2", "device=cpu",
    "threads=1",
)  # fmt: skip


def chosen(*overrides: str) -> list[str]:
    """The overrides of a small run, with others in their places."""
    keys = {one.partition("=")[0] for one in overrides}
    rest = [one for one in SMALL if one.partition("=")[0] not in keys]
    if "posttrain=null" in overrides:
        rest = [one for one in rest if not one.startswith("posttrain.")]
    return [*rest, *overrides]


def small(*overrides: str, seed: int = 0) -> Recipe:
    return recipes.load("llm-tiny-trl", chosen(*overrides), seed=seed)


def run(out: Path, *overrides: str) -> tuple[RunFolder, dict[str, Any]]:
    """(the folder of a finished run, its summary)."""
    result = pipeline.run(small(*overrides), out, Reporter(quiet=True))
    return RunFolder(result.folder), result.summary


def shared_by(recipe: Recipe, out: Path, name: str = "pretrain") -> RunFolder:
    """Where a stage of a recipe is shared."""
    return RunFolder(sharing.folder_of(out, name, recipe.stage_digest(name), recipe.seed))


def context(tmp_path: Path, recipe: Recipe, reporter: Reporter | None = None) -> TextContext:
    """What the stages of a recipe are given, in a run folder of its own."""
    folder = RunFolder.open(tmp_path / "run", {}, "x")
    return TextContext(recipe, folder, reporter or Reporter(quiet=True), torch.device("cpu"))


def place(context: TextContext, name: str) -> Place:
    """Where in the context's run a stage is carried out."""
    return context.place(name)


def all_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every response for right, so that STaR keeps something of a model that knows nothing."""
    real = Evaluator.answer

    def answer(self: Evaluator, *given: Any, **more: Any) -> list[GradedResponse]:
        return [replace(one, is_right=True, is_long=False) for one in real(self, *given, **more)]

    monkeypatch.setattr(Evaluator, "answer", answer)
