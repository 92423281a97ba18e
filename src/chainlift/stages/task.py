"""The task of a recipe as its model reads it."""

from __future__ import annotations

from typing import NamedTuple

from chainlift.models import families
from chainlift.settings import Settings
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry
from chainlift.tasks.base import Task
from chainlift.text.task import TextTask


class _Bound(NamedTuple):
    """A task of text in the tokens of a model, with the settings that it is from."""

    task_settings: Settings
    model_settings: Settings
    task: Task


_last: _Bound | None = None  # a plan and a run ask several times, and reading problems takes seconds


def task_of(recipe: Recipe) -> Task:
    """The task of a recipe for our own engine; a task of text is in the tokens of the recipe's model.

    The last task of text is kept for the same recipe object alone, as files may change until another one is loaded.
    ValueError in one line if problems or tokenizer cannot be opened.
    """
    global _last
    task = registry.make(recipe.task)
    if not isinstance(task, TextTask):
        return task
    if _last is None or _last.task_settings is not recipe.task or _last.model_settings is not recipe.model:
        _last = _Bound(recipe.task, recipe.model, families.bound(recipe.model, task))
    return _last.task
