"""A language model measured on its own: a run's checkpoint, or any folder that transformers opens, with a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from chainlift.llm import graders, launch, models, sources
from chainlift.llm import recipe as recipes
from chainlift.llm.measuring import Examinee, Judged, measure
from chainlift.llm.recipe import LlmRecipe
from chainlift.overrides import overridden
from chainlift.runs import checkpoint, environment
from chainlift.runs.store import RunFolder
from chainlift.stages.recipe import is_llm

STAGES = ("posttrain", "pretrain")  # the later one first


@dataclass(frozen=True)
class Target:
    """What is to be measured."""

    recipe: LlmRecipe
    """Data, template, grader and evaluation settings."""
    path: str
    """A folder, or what `model.path` may be."""
    gguf_file: str | None = None


def target(where: str, recipe: str | None, overrides: list[str] | None = None) -> Target:
    """The model that `where` names, and the recipe to measure it by: `recipe`, or its own run's.

    where: a run folder (its newest checkpoint), a checkpoint in one, a model's folder, `package:NAME` or a hub name.
    ValueError in one line where a recipe is needed or nothing is found.
    """
    folder = Path(where)
    if where.startswith((".", "/", "~")) and not folder.exists():
        raise ValueError(f"there is no folder {where}")
    run = next((one for one in (folder, folder.parent.parent) if (one / "recipe.yaml").is_file()), None)
    if recipe is None and run is None:
        raise ValueError(f"{where} is in no run folder, so say by --recipe on which problems it is to be measured")
    if recipe is not None:
        chosen = recipes.load(recipe, overrides)
    else:
        assert run is not None
        chosen = _of_run(run, overrides)
    if run is not None and folder == run:
        newest = next(filter(None, (checkpoint.latest(run / "checkpoints", stage) for stage in STAGES)), None)
        if newest is None:
            raise ValueError(f"{where} has no finished checkpoint yet")
        return Target(chosen, str(newest))
    return Target(chosen, where, None if folder.is_dir() else chosen.model.gguf_file)


def evaluate(
    what: Target,
    *,
    problems: int | None = None,
    temperature: float | None = None,
    pass_at_k: tuple[int, int] | None = None,
    split: str = "test",
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, list[Judged]]]:
    """({greedy, sampled, grader}, the judged responses of each).

    problems: how many, all if there are fewer; pass_at_k: (problems, samples of each); temperature: of the sampled
    half. What is not given stands in the recipe. Problems and samples are drawn by streams of `seed` that no run uses.
    """
    recipe = what.recipe
    of_problems, samples = pass_at_k or (0, 1)
    changes: dict[str, Any] = {"pass_at_k_prompts": of_problems, "pass_at_k_samples": samples}
    if temperature is not None:
        changes["temperature"] = temperature
    settings = recipe.evaluate.model_copy(update=changes)
    device = environment.pick_device(recipe.device)
    models.need_extra()
    launch.join()
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    train, test = sources.source(recipe.data)
    grader = graders.grader(recipe.grader, recipe.template.answer_mark)
    try:
        model, tokenizer = models.open_folder(
            what.path, what.gguf_file, download=recipe.model.download, weights=recipe.model.weights
        )
        bfloat16 = recipe.dtype == "bfloat16"
        return measure(
            Examinee(
                model.to(device),
                tokenizer,
                grader,
                recipe.template,
                bfloat16=bfloat16,
                sampling_gib=recipe.sampling_gib,
            ),
            train if split == "train" else test,
            settings,
            num_problems=settings.prompts if problems is None else problems,
            seed=seed,
            name=f"llm/inspect/{split}",
            step=0,
            with_more=True,
        )
    finally:
        grader.close()


def _of_run(run: Path, overrides: list[str] | None) -> LlmRecipe:
    """The recipe of a run folder; ValueError for a small engine's."""
    content = RunFolder(run).recipe()
    if not is_llm(content):
        raise ValueError(f"{run} is a small engine's run: chainlift evaluate {run}")
    return recipes.build(overridden(content, overrides, recipes.KINDS))
