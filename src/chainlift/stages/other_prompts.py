"""Prompts other than those of a checkpoint's task: typed ones, and those of the task with changed settings."""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.models.model import Model
from chainlift.settings import Settings
from chainlift.stages import recipe as recipes
from chainlift.tasks import registry
from chainlift.tasks.base import Task
from chainlift.text import task as text_tasks
from chainlift.text.tokenized import TokenizedTask


def changed(model: Model, task: Task, changes: list[str]) -> Task:
    """The task with some settings changed; ValueError if the model cannot read its prompts or write its responses."""
    if isinstance(task, TokenizedTask):
        text_task = {"name": "inspected", "task": task.settings.model_dump(), "model": {"family": "llama"}}
        changed = recipes.override(recipes.build(text_task), [f"task.{change}" for change in changes]).task
        return in_its_tokens(task, changed)
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


def in_its_tokens(task: TokenizedTask, settings: Settings) -> TokenizedTask:
    """The task of text of other settings, in the tokens of a task."""
    return TokenizedTask(text_tasks.of(settings), task.tokenizer, task.vocabulary.size)


def encoded(task: Task, prompt: str) -> Tensor:
    """Prompt tokens (1, T) of a text."""
    tokens = task.vocabulary.encode(prompt)
    padding = getattr(task, "padding", None)
    if padding is not None and 0 < len(tokens) < task.prompt_length:
        tokens = torch.nn.functional.pad(tokens, (task.prompt_length - len(tokens), 0), value=padding)
    if len(tokens) != task.prompt_length:
        raise ValueError(f"the prompt has {len(tokens)} tokens; this model was trained on {task.prompt_length}")
    return tokens[None]
