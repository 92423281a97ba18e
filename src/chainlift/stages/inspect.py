"""Inspection of a checkpoint: measure it, sample from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch

from chainlift import distributed, memory, reading
from chainlift.measure.evaluate import answer, measure
from chainlift.measure.samples import records
from chainlift.models import families
from chainlift.models.hub import model_folder
from chainlift.models.model import Model
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.reading import StrPath
from chainlift.references import Trust
from chainlift.runs import checkpoint, environment, stage_views
from chainlift.runs.store import RunFolder
from chainlift.seeding import stream
from chainlift.stages import other_prompts
from chainlift.stages import recipe as recipes
from chainlift.stages.planning import needs
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry
from chainlift.tasks.base import HoldsOut, Task, held_out
from chainlift.tasks.freshness import freshness
from chainlift.text.tokenized import TokenizedTask

PROMPTS = 4096
"""Default number of prompts on which a model of our own engine is measured."""
SPLITS = ("train", "test")
UNGRADED = {"answer": None, "chain": None, "expected": None, "gold": []}

Measured = TypeVar("Measured")


def newest(target: StrPath) -> Path:
    """The model folder `target` or, for a run folder, its last checkpoint; ValueError if there is none."""
    target = Path(target)
    if any((target / name).is_file() for name in ("config.json", model_folder.ADAPTERS)):
        return target
    if (target / "recipe.yaml").is_file():
        for stage in reversed(stage_views.main_stages(RunFolder(target).recipe())):
            latest = checkpoint.latest(target / "checkpoints", stage.name)
            if latest is not None:
                return latest
    if not target.exists():
        raise ValueError(f"{target} does not exist")
    raise ValueError(f"{target} is neither a checkpoint nor a run folder with one")


def language_recipe(
    target: StrPath, source: str | None = None, changes: list[str] | None = None, *, trust: bool = False
) -> Recipe | None:
    """The recipe by which to inspect a language model: `source`, or that of a run by TRL; None for other models.

    changes: `key=value` of the task. ValueError if `source` is not a recipe of text, or lacks a package.
    """
    overrides = [f"task.{change}" for change in changes or []]
    if source is not None:
        recipe = recipes.load(source, overrides, trust=trust)
        if not recipe.is_text:
            raise ValueError(f"--recipe: {source} has no task of text; a model of symbols knows its task")
        return recipe
    run = _run_of(target)
    if run is None and str(target).startswith("package:"):
        raise ValueError(f"{target} is in no run folder, so say by --recipe on which problems it is to be measured")
    if run is None or not stage_views.by_trl(content := RunFolder(run).recipe()):
        return None
    return recipes.override(recipes.build(content, Trust.of(run / "recipe.yaml", None, trust)), overrides)


def evaluate(
    target: StrPath,
    num_prompts: int | None = None,
    *,
    temperature: float,
    seed: int,
    changes: list[str] | None = None,
    recipe: str | None = None,
    split: str = "test",
    pass_at_k: int | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Measure a checkpoint on prompts of streams that no run uses: {greedy, sampled, ...}, with the prompts' freshness.

    num_prompts: None: as many as the recipe measures for a model by TRL, else PROMPTS or all held-out ones. changes:
    `key=value` of the task, for prompts that it was not trained on, such as longer ones. recipe: for a language model
    outside a run folder. split: `train` measures on training prompts where the task holds others out. pass_at_k:
    samples of each prompt. trust: import the code that the checkpoint names.
    """
    if split not in SPLITS:
        raise ValueError(f"--split: {split!r} is neither {' nor '.join(reversed(SPLITS))}")
    language = language_recipe(target, recipe, changes, trust=trust)
    if language is not None and language.by_trl:
        from chainlift.stages.trl import inspect

        where = _language_model(target)
        options: dict[str, Any] = {"temperature": temperature, "seed": seed, "split": split, "pass_at_k": pass_at_k}
        return _check_finite(inspect.evaluate(where, language, prompts=num_prompts, **options), target)
    distributed.join(torch.device(environment.local_device("auto")))
    model, task = _load(target, language, trust=trust)
    if changes and language is None:
        task = other_prompts.changed(model, task, changes)
    if split == "train" and not isinstance(task, HoldsOut):
        raise ValueError("--split: this task holds no prompts out of training, so that there is no other split")
    num_prompts = PROMPTS if num_prompts is None else num_prompts
    measured = task if split == "train" else held_out(task)
    memory.check("--prompts", num_prompts * (measured.prompt_length + task.long_length + 1) * needs.TOKEN)
    table = measure(
        model,
        task,
        num_prompts,
        seed=seed,
        name="evaluate-command",
        step=0,
        temperature=temperature,
        pass_at_k_prompts=min(num_prompts, 256),
        pass_at_k_samples=pass_at_k or 16,
        with_forced=True,
        on_training=split == "train",
    )
    where = target if language is not None else newest(target)
    return _check_finite({"checkpoint": str(where), **freshness(task, None).as_dict(), **table}, target)


def sample(
    target: StrPath,
    prompt: str | None,
    *,
    greedy: bool,
    count: int,
    temperature: float,
    seed: int,
    recipe: str | None = None,
    trust: bool = False,
) -> list[dict[str, Any]]:
    """Sample `count` responses (1 if greedy) to a prompt in text, or to a random one; ValueError if it does not fit.

    recipe: for a language model outside a run folder. trust: import the code that the checkpoint names.
    """
    language = language_recipe(target, recipe, trust=trust)
    if language is not None and language.by_trl:
        from chainlift.stages.trl import inspect

        where, options = _language_model(target), {"greedy": greedy, "count": count}
        return inspect.sample(where, language, prompt, temperature=temperature, seed=seed, **options)
    model, task = _load(target, language, trust=trust)
    is_question = isinstance(task, TokenizedTask) and prompt is not None
    if isinstance(task, TokenizedTask) and prompt is not None:
        task = task.asking(prompt)
    tokens = (
        held_out(task).prompts(1, stream(seed, "sample-command/prompt"))
        if prompt is None or is_question
        else other_prompts.encoded(task, prompt)
    )
    needed, context = tokens.shape[1] + task.long_length + 1, getattr(model.settings, "context", model.context)
    if is_question and needed > context:
        raise ValueError(
            f"the prompt has {tokens.shape[1]} tokens, {needed} with the response, and the model reads "
            f"{context}; shorten the prompt"
        )
    memory.check("-n", needs.cache_bytes(model.settings, 1 if greedy else count, needed))
    answers = answer(
        model,
        task,
        tokens,
        group_size=1 if greedy else count,
        temperature=1.0 if greedy else temperature,
        generator=None if greedy else stream(seed, "sample-command/samples"),
    )
    rows = records(task, answers, list(range(len(answers.rollout.rows))))
    if is_question:  # nothing is known about its answer
        rows = [row | UNGRADED | {"token_right": [None] * len(row["response"])} for row in rows]
    return _check_finite(rows, target)


def _language_model(target: StrPath) -> str:
    """The folder, package or hub name of a language model; of a run folder, its last checkpoint."""
    return str(newest(target) if (Path(target) / "recipe.yaml").is_file() else target)


def _check_finite(results: Measured, target: StrPath) -> Measured:
    """The results as they are; ValueError if a NaN or an infinity is in them, as of weights that are far too large."""
    try:
        json.dumps(results, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{target}: the model computes no finite numbers; its weights are damaged") from error
    return results


def _load(target: StrPath, language: Recipe | None, *, trust: bool) -> tuple[Model, Task]:
    """(model, task) of a checkpoint, or by a recipe of our own engine those of any folder with a language model."""
    if language is None:
        model, task = load(target, trust=trust)
        return model, _as_in_run(target, task, trust=trust) if isinstance(task, TokenizedTask) else task
    if not isinstance(language.model, LlamaSettings):
        raise ValueError(f"--recipe: models of its family {families.name_of(language.model)!r} know their tasks")
    settings = language.model.at_path(_language_model(target))
    task = families.bound(settings, registry.make(language.task))
    model = families.build(settings, task).fresh(stream(0, "model"))
    return model.to(torch.device(environment.local_device(language.device))), task


def _as_in_run(target: StrPath, task: TokenizedTask, *, trust: bool) -> Task:
    """A checkpoint's task with the test problems of its run, which may have taken the stage from one with others."""
    run = _run_of(target)
    if run is None:
        return task
    settings = recipes.build(RunFolder(run).recipe(), Trust.of(run / "recipe.yaml", None, trust)).task
    return task if settings == task.settings else other_prompts.in_its_tokens(task, settings)


def _run_of(target: StrPath) -> Path | None:
    """The run folder that `target` is, or in which it is a checkpoint; None without one."""
    folders = (Path(target), Path(target).parent.parent)
    return next((folder for folder in folders if (folder / "recipe.yaml").is_file()), None)


def load(target: StrPath, *, trust: bool = False) -> tuple[Model, Task]:
    """(model, task) of a checkpoint of our own engine, on the best device; ValueError if it is not one, or damaged.

    trust: import the code that the checkpoint names.
    """
    folder = newest(target)
    if _is_of_transformers(folder):
        raise ValueError(f"{folder} holds a language model; say by --recipe which problems it is for")
    model, task = model_folder.load(folder, trust=trust)
    return model.to(torch.device(environment.local_device("auto"))), task


def model_of(target: StrPath, *, trust: bool = False) -> Model | LanguageModel:
    """The model of a checkpoint on the best device: one of our own engine, or of transformers with its tokenizer."""
    language = language_recipe(target, trust=trust)
    if language is None:
        return load(target, trust=trust)[0]
    from chainlift.stages.trl import inspect

    return inspect.load(_language_model(target), language)


def _is_of_transformers(folder: Path) -> bool:
    """Whether a folder holds a model of transformers without a symbolic task."""
    file = folder / "config.json"
    config = reading.json_mapping(file) if file.is_file() else {}
    return "architectures" in config and "chainlift" not in config
