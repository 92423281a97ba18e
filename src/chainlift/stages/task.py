"""The task of a recipe as its model reads it."""

from __future__ import annotations

from chainlift.models import families
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry
from chainlift.tasks.base import Task


def task_of(recipe: Recipe) -> Task:
    """The task of a recipe for our own engine; a task of text is in the tokens of the recipe's model.

    ValueError in one line if problems or tokenizer cannot be opened.
    """
    return families.bound(recipe.model, registry.make(recipe.task))
