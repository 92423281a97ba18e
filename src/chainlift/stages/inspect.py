"""Looking at a checkpoint: measure it, sample from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from chainlift import memory
from chainlift.measure.evaluate import answer, measure
from chainlift.measure.samples import records
from chainlift.models import hub
from chainlift.models.model import Model
from chainlift.reading import StrPath
from chainlift.runs import checkpoint, course, environment
from chainlift.runs.store import RunFolder
from chainlift.seeding import stream
from chainlift.stages import needs
from chainlift.stages import recipe as recipes
from chainlift.tasks import registry
from chainlift.tasks.base import Task, held_out
from chainlift.tasks.freshness import freshness

Found = TypeVar("Found")


def find(target: StrPath) -> Path:
    """The checkpoint folder of the small engine that `target` is or holds; ValueError if there is none."""
    target = Path(target)
    if (target / "recipe.yaml").is_file() and recipes.is_llm(RunFolder(target).recipe()):
        raise ValueError(f"{target} is a language model's run: chainlift llm evaluate {target}")
    return newest(target)


def newest(target: StrPath) -> Path:
    """The model's folder that `target` is or, for a run folder, its last checkpoint; ValueError if there is none."""
    target = Path(target)
    if any((target / name).is_file() for name in ("config.json", hub.ADAPTERS)):
        return target
    if (target / "recipe.yaml").is_file():
        for stage in reversed(course.main_stages(RunFolder(target).recipe())):
            found = checkpoint.latest(target / "checkpoints", stage.name)
            if found is not None:
                return found
    if not target.exists():
        raise ValueError(f"{target} does not exist")
    raise ValueError(f"{target} is neither a checkpoint nor a run folder with one")


def evaluate(
    target: StrPath,
    num_prompts: int,
    *,
    temperature: float,
    seed: int,
    changes: list[str] | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """{greedy, sampled} of a checkpoint on prompts of streams that no run uses, and how fresh those are.

    changes: `key=value` of the task, for prompts that it was not trained on, such as longer ones. trust: import the
    code that the checkpoint names.
    """
    model, task = load(target, trust=trust)
    if changes:
        task = _changed(model, task, changes)
    memory.check("--prompts", num_prompts * (task.prompt_length + task.long_length + 1) * needs.TOKEN)
    table = measure(
        model,
        task,
        num_prompts,
        seed=seed,
        name="evaluate-command",
        step=0,
        temperature=temperature,
        pass_at_k_prompts=min(num_prompts, 256),
    )
    return _numbers({"checkpoint": str(find(target)), **freshness(task, None).as_dict(), **table}, target)


def sample(
    target: StrPath,
    prompt: str | None,
    *,
    greedy: bool,
    count: int,
    temperature: float,
    seed: int,
    trust: bool = False,
) -> list[dict[str, Any]]:
    """`count` responses (1 if greedy) to a prompt in text, or to one that is drawn; ValueError if it does not fit.

    trust: import the code that the checkpoint names.
    """
    model, task = load(target, trust=trust)
    tokens = (
        held_out(task).prompts(1, stream(seed, "sample-command/prompt")) if prompt is None else _encode(task, prompt)
    )
    memory.check("-n", needs.cache_bytes(model.settings, 1 if greedy else count, model.context))
    answers = answer(
        model,
        task,
        tokens,
        group_size=1 if greedy else count,
        temperature=1.0 if greedy else temperature,
        generator=None if greedy else stream(seed, "sample-command/samples"),
    )
    return _numbers(records(task, answers, list(range(len(answers.rollout.rows)))), target)


def _numbers(found: Found, target: StrPath) -> Found:
    """What was measured; ValueError if a NaN or an infinity is in it, as of weights that are far too large."""
    try:
        json.dumps(found, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{target}: the model computes no finite numbers; its weights are damaged") from error
    return found


def load(target: StrPath, *, trust: bool = False) -> tuple[Model, Task]:
    """(model, task) of a checkpoint, on the best device; ValueError if it is none or damaged.

    trust: import the code that the checkpoint names.
    """
    model, task = hub.load(find(target), trust=trust)
    return model.to(torch.device(environment.pick_device("auto"))), task


def _changed(model: Model, task: Task, changes: list[str]) -> Task:
    """The task with some of its settings changed; ValueError if the model cannot read or write what it asks for."""
    known = recipes.build({"task": task.settings.model_dump(), "mixture": {"p_cot": 0}})
    other = registry.build(recipes.override(known, [f"task.{change}" for change in changes]).task)
    if other.vocabulary.tokens != task.vocabulary.tokens:
        raise ValueError(
            f"{' '.join(changes)}: the model knows {task.vocabulary.size} tokens, and not those of this task"
        )
    needed = other.prompt_length + other.long_length + 1
    if needed > model.context and not model.any_length:
        raise ValueError(f"{' '.join(changes)}: needs {needed} positions, and this model has learned {model.context}")
    return other


def _encode(task: Task, prompt: str) -> Tensor:
    """Prompt tokens (1, T) of a text."""
    tokens = task.vocabulary.encode(prompt)
    padding = getattr(task, "padding", None)
    if padding is not None and 0 < len(tokens) < task.prompt_length:
        tokens = torch.nn.functional.pad(tokens, (task.prompt_length - len(tokens), 0), value=padding)
    if len(tokens) != task.prompt_length:
        raise ValueError(f"the prompt has {len(tokens)} tokens; this model was trained on {task.prompt_length}")
    return tokens[None]
