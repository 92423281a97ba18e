"""The stages of a recipe that are measured, and the model states: `early`, before RL, and `late`, after RL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainlift.models import families
from chainlift.models.hub import model_folder
from chainlift.references import Trust
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import checkpoint, stage_views
from chainlift.runs.store import RunFolder
from chainlift.seeding import stream
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.recipe import Recipe
from chainlift.stages.task import task_of
from chainlift.tasks import registry
from chainlift.tasks.base import has_chains


@dataclass(frozen=True)
class States:
    """A recipe and checkpoints of its model."""

    recipe: Recipe
    early: Path
    """Checkpoint after next-token prediction: most responses are short."""
    late: Path | None
    """Checkpoint after RL: nearly all responses are long. None if only sizes matter."""


def of_run(run: Path, *, trust: bool = False) -> States:
    """Read the states of a finished run; ValueError if it lacks one. trust: import code named by the run."""
    if not (run / "recipe.yaml").is_file():
        raise ValueError(f"--run: {run} is not a run folder")
    content = RunFolder(run).recipe()
    if stage_views.by_trl(content):
        raise ValueError(f"--run: {run} is a run by TRL")
    recipe = recipes.build(content, Trust.of(run / "recipe.yaml", None, trust))
    check(recipe)
    return _of_finished(run, recipe)


def _of_finished(run: Path, recipe: Recipe) -> States:
    """Read the states of a recipe's finished run; ValueError if it lacks one."""
    if not RunFolder(run).done:
        raise ValueError(f"--run: {run} is not finished; the command that started it continues it")
    names = next_token_stage(recipe)[0], rl_stage(recipe)[0]
    early, late = (checkpoint.latest(run / "checkpoints", name) for name in names)
    if early is None or late is None:
        raise ValueError(
            f"--run: {run} lacks a checkpoint of next-token prediction or of RL; choose another run, or leave --run out"
        )
    return States(recipe, early, late)


def trained(recipe: Recipe, out: Path, reporter: Reporter) -> States:
    """The states of the recipe's run under `out`, which is started or continued if it is not finished."""
    check(recipe)
    folder = RunFolder(out / recipe.run_id)
    if not folder.done:
        reporter.say(f"the two states come from a run of {recipe.name}, in {folder.path}; it is kept for the next time")
        pipeline.run(recipe, out, reporter)
    return _of_finished(out / recipe.run_id, recipe)


def save_new(recipe: Recipe, folder: Path) -> States:
    """Write a new model of the recipe into an empty folder, for measurements that do not depend on its behavior."""
    check_family(recipe)
    task = task_of(recipe)
    model_folder.save(families.build(recipe.model, task).fresh(stream(0, "model")), task, folder)
    return States(recipe, folder, None)


def next_token_stage(recipe: Recipe) -> tuple[str, NextTokenPrediction]:
    """(name, settings) of the recipe's first next-token prediction; ValueError if it has none."""
    stage = recipe.first(NextTokenPrediction)
    if stage is None or stage[1].total_steps is None:
        raise ValueError(f"stages: {recipe.name} has no next-token prediction to measure")
    return stage


def rl_stage(recipe: Recipe) -> tuple[str, ReinforcementLearning]:
    """(name, settings) of the recipe's first RL; ValueError if it has none."""
    stage = recipe.first(ReinforcementLearning)
    if stage is None:
        raise ValueError(f"stages: {recipe.name} has no RL; --only stage1 measures it without")
    return stage


def check(recipe: Recipe) -> None:
    """Raise ValueError if the recipe lacks what the benchmark measures."""
    check_family(recipe)
    name, rl = rl_stage(recipe)
    if rl.start != next_token_stage(recipe)[0]:
        raise ValueError(f"{name}.start: the benchmark measures RL from the end of next-token prediction")
    if not recipe.is_text and not has_chains(registry.build(recipe.task)):
        raise ValueError("task: it has no long responses, so there is no late state; --only stage1 measures it without")


def check_family(recipe: Recipe) -> None:
    """Raise ValueError if the family does not report the sizes of its matrix products."""
    if families.family_of(recipe.model).product_sizes(recipe.model, 1) is None:
        raise ValueError(f"model.family: {families.name_of(recipe.model)} is not timed; allowed: gpt2, mistral, llama")
