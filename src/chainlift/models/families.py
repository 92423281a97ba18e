"""Which model learns: `model.family` of a recipe chooses, and everything else is built through here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from chainlift.models.blocks import ModelSettings
from chainlift.models.linear import LinearModel, LinearSettings
from chainlift.models.transformer import Transformer
from chainlift.tasks.base import Task
from chainlift.tasks.running_sum import RunningSum

AnySettings = ModelSettings | LinearSettings
Model = Transformer | LinearModel


FAMILIES: dict[str, type[ModelSettings] | type[LinearSettings]] = {
    "gpt2": ModelSettings,
    "mistral": ModelSettings,
    "linear": LinearSettings,
}


def settings_class(content: dict[str, Any]) -> type[ModelSettings] | type[LinearSettings]:
    """The class of the settings in keys and values, by their `family`; ValueError with the known ones."""
    family = content.get("family", "gpt2")
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"family {family!r} is not known; known: {', '.join(FAMILIES)}")
    return FAMILIES[family]


def check(settings: AnySettings, task: Task) -> None:
    """ValueError if the model cannot learn the task: the linear one has predictors for plain running sums only."""
    if isinstance(settings, ModelSettings):
        return
    if not (isinstance(task, RunningSum) and task.options.is_plain):
        raise ValueError(
            "family linear learns the task running_sum only, with no option set: one chain token a digit, an answer of "
            "one token"
        )


def build(settings: AnySettings, task: Task, context: int | None = None) -> Model:
    """A model of the task's vocabulary and of `context` positions (default: its longest sequence), weights not yet
    initialised.
    """
    check(settings, task)
    return of_size(settings, task.vocabulary.size, context or task.prompt_length + task.long_length + 1)


def of_size(settings: AnySettings, vocabulary_size: int, context: int) -> Model:
    """A model of so many tokens and positions, weights not yet initialised."""
    if isinstance(settings, LinearSettings):
        return LinearModel(settings, vocabulary_size, context)
    return Transformer(settings, vocabulary_size, context)


def fewest_parameters(settings: AnySettings, context: int) -> int:
    """A number of parameters that a model has at least, told without making one: of absurd sizes none can be made."""
    if isinstance(settings, LinearSettings):
        return (context - 1) // 2
    matrices = 2 * settings.width**2 + 2 * settings.width * settings.hidden_width
    return settings.layers * matrices + (context * settings.width if settings.family == "gpt2" else 0)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Modules made within have shapes and no values: nothing of their size is allocated, nothing is drawn.

    A draw on the meta device would do nothing either, but import torch._dynamo first, which takes seconds.
    """
    with torch.device("meta"), _NothingDrawn():
        yield


class _NothingDrawn(TorchFunctionMode):
    """Leaves out what torch.nn.init does to tensors."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
