"""The kinds of recipe that can be run many times: a small engine's, and a language model's.

Nothing of a language model is imported before a run of one is carried out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from chainlift.llm import recipe as llm_recipes
from chainlift.llm.recipe import LlmRecipe
from chainlift.reading import StrPath
from chainlift.references import Trust
from chainlift.report.terminal import Reporter
from chainlift.runs.store import RunFolder
from chainlift.stages import cost, sharing
from chainlift.stages import recipe as recipes
from chainlift.stages.cost import Cost
from chainlift.stages.recipe import Recipe

AnyRecipe: TypeAlias = Recipe | LlmRecipe


def load(
    source: StrPath, overrides: list[str] | None = None, *, seed: int | None = None, trust: bool = False
) -> AnyRecipe:
    """The recipe of a shipped name or a YAML file, with dotted overrides; ValueError in one line that names the key.

    trust: follow references to code that only the file names (references.py).
    """
    source = str(source)
    known = {**recipes.shipped(), **recipes.shipped("llm")}
    if recipes.is_llm(recipes.content_of(source, known, overrides)):
        return llm_recipes.load(source, overrides, seed=seed)
    return recipes.load(source, overrides, seed=seed, trust=trust)


def build(content: dict[str, Any], trust: Trust | None = None) -> AnyRecipe:
    """The recipe of nested keys and values; ValueError in one line that names the key and what is allowed.

    trust: in the file that they are from; None if they are the user's own word.
    """
    return llm_recipes.build(content) if recipes.is_llm(content) else recipes.build(content, trust)


def run(recipe: AnyRecipe, out: Path, reporter: Reporter) -> None:
    """Carry out a run in its folder under `out`; waits for another process that is at work there."""
    if isinstance(recipe, LlmRecipe):
        from chainlift.llm import pipeline as llm_pipeline

        if recipe.is_shared:
            llm_pipeline.run_stage_1(recipe, out, reporter)
        else:
            llm_pipeline.run(recipe, out, reporter, with_page=False, wait=True)
    else:
        from chainlift.stages import pipeline

        pipeline.run(recipe, out, reporter, wait=True)


def is_there(prefix: AnyRecipe, out: Path) -> bool:
    """Whether the first stages that runs share are trained."""
    if RunFolder(out / prefix.run_id).done:
        return True
    if isinstance(prefix, LlmRecipe):
        return False
    name = next(reversed(prefix.stages))
    return RunFolder(sharing.folder_of(out, name, prefix.stage_digest(name), prefix.seed)).done


def stages_of(recipe: AnyRecipe) -> list[str]:
    """The names of a recipe's stages, as summaries have them."""
    if isinstance(recipe, LlmRecipe):
        return ["pretrain", *(["posttrain"] if recipe.posttrain is not None else [])]
    return list(recipe.stages)


def stage_key(recipe: AnyRecipe, name: str) -> tuple[str, str, int]:
    """What two runs have in common that share a stage."""
    if isinstance(recipe, LlmRecipe):
        return name, (recipe.stage_1 if name == "pretrain" else recipe).run_id, recipe.seed
    return name, recipe.stage_digest(name), recipe.seed


def estimate(recipe: AnyRecipe) -> Cost:
    """What a run would take on this machine, by a few of its own steps."""
    if isinstance(recipe, LlmRecipe):
        from chainlift.llm import timing

        return timing.estimate(recipe)
    return cost.estimate(recipe)
