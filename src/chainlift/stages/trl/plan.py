"""The plan of a text recipe by --dry-run: cost by arithmetic, time on this machine, and a launch on several GPUs."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from chainlift.models.pretrained import sizes
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.stages.planning import cost
from chainlift.stages.recipe import Recipe
from chainlift.stages.trl import gpu_hours
from chainlift.stages.trl.lengths import mean_lengths
from chainlift.text import task as text_tasks

MAX_TIMED = 5e8  # parameters; a few updates of larger models take too long on a laptop


def lines(recipe: Recipe) -> list[str]:
    """Lines of the plan; no model is downloaded, and only a small one is loaded and timed on this machine."""
    assert isinstance(recipe.model, PretrainedSettings)
    task = text_tasks.of(recipe.task)
    lengths, measured = mean_lengths(task, recipe.model, task.problems[0])
    size = sizes.size(recipe.model)
    planned = gpu_hours.plan(recipe, size, lengths, measured=measured)
    if recipe.device == "cuda":
        planned += _launch(recipe)
    elif size.parameters < MAX_TIMED:
        planned.append(f"time here, from a few timed updates: {cost.estimate(recipe)}")
    return planned


def _launch(recipe: Recipe) -> list[str]:
    """How to launch the run on several GPUs of one machine."""
    folder = Path(str(resources.files("chainlift"))) / "recipes" / "launch"
    return [
        f"on N GPUs: accelerate launch --config_file {folder}/fsdp.yaml --num_processes N -m chainlift run "
        f"{recipe.name} ...; beside it ddp.yaml, for a model that fits one GPU, and zero3.yaml"
    ]
