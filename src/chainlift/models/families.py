"""Which model learns: `model.family` of a recipe chooses, and everything else is built through here.

A family is a subclass of models/model.py's Model, found by its registered name, by an entry point in the group
`chainlift.families`, or as `package.module:Class`. One from elsewhere is tried once on a few random tokens, before
anything is trained.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from chainlift.models.contract import complaint
from chainlift.models.linear import LinearModel
from chainlift.models.model import Model
from chainlift.models.pretrained.family import Pretrained
from chainlift.models.shapes import shapes_only
from chainlift.models.transformer.transformer import Transformer
from chainlift.references import Trust
from chainlift.registry import Registry
from chainlift.settings import Settings
from chainlift.tasks.base import Task
from chainlift.text.task import TextTask

DEFAULT = "gpt2"


def _accept(found: Any) -> type[Model] | type[Pretrained]:
    if found is Pretrained:
        return Pretrained
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise ValueError("a subclass of chainlift.models.model.Model")
    settings = getattr(found, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, Settings) and "family" in settings.model_fields):
        raise ValueError(
            "a class with an attribute Settings, a subclass of chainlift.settings.Settings with the field family"
        )
    return found


FAMILIES: Registry[type[Model] | type[Pretrained]] = Registry("family", "chainlift.families", _accept)
FAMILIES.register("gpt2", Transformer, shipped=True)
FAMILIES.register("mistral", Transformer, shipped=True)
FAMILIES.register("linear", LinearModel, shipped=True)
FAMILIES.register("transformers", Pretrained, shipped=True)


def settings_class(content: dict[str, Any], trust: Trust | None = None) -> type[Settings]:
    """The class of the settings in keys and values, by their `family`; ValueError with the known ones.

    trust: in the file that holds them; None if they are the user's own word (references.py).
    """
    return FAMILIES.find(content.get("family", DEFAULT), trust).Settings


def family_of(settings: Settings) -> type[Model]:
    """The family that some settings belong to, of models that read symbols; ValueError where it is another."""
    family = FAMILIES.find(name_of(settings))
    if not issubclass(family, Model):
        raise ValueError(f"family {name_of(settings)!r} reads text, and this needs a model of symbols")
    return family


def name_of(settings: Settings) -> str:
    """The name of the family that some settings belong to."""
    return str(getattr(settings, "family", None))


def check(settings: Settings, task: Task | TextTask) -> None:
    """ValueError in one line if the model cannot learn the task, or if its family does not fulfill the protocol."""
    name, task_name = name_of(settings), getattr(task.settings, "name", None)
    family = FAMILIES.find(name)
    if isinstance(task, TextTask):
        if not issubclass(family, Pretrained):
            raise ValueError(
                f"family {name!r} reads symbols, and task {task_name!r} is text; choose model.family=transformers"
            )
        return
    if issubclass(family, Pretrained):
        raise ValueError(
            f"family {name!r} reads text, and task {task_name!r} has symbols; choose model.family={DEFAULT}"
        )
    family.check(settings, task)
    if FAMILIES.is_shipped(name_of(settings)):
        return
    wrong = _complaint(family, _key(settings), task.vocabulary.size, task.prompt_length, _context(task))
    if wrong is not None:
        raise ValueError(f"family {name_of(settings)!r} does not fulfil the protocol: {wrong}")


def check_muon(settings: Settings, task: Task) -> None:
    """ValueError in one line if the model has no matrices for Muon to move."""
    if not _has_muon_parameters(family_of(settings), _key(settings), task.vocabulary.size, _context(task)):
        raise ValueError(f"optimizer muon moves the matrices of blocks; family {name_of(settings)} has none")


def build(settings: Settings, task: Task, context: int | None = None) -> Model:
    """A model of the task's vocabulary and of `context` positions (default: its longest sequence), weights not yet
    initialized.
    """
    check(settings, task)
    return of_size(settings, task.vocabulary.size, context or _context(task))


def of_size(settings: Settings, vocabulary_size: int, context: int) -> Model:
    """A model of so many tokens and positions, weights not yet initialized."""
    return family_of(settings)(settings, vocabulary_size, context)


def fewest_parameters(settings: Settings, context: int) -> int:
    """A lower bound on the number of parameters, without making a model: one of absurd sizes cannot be made."""
    return family_of(settings).fewest_parameters(settings, context)


def _context(task: Task) -> int:
    """Positions of the task's longest sequence."""
    return task.prompt_length + task.long_length + 1


def _key(settings: Settings) -> str:
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)


@functools.lru_cache(maxsize=64)
def _complaint(family: type[Model], key: str, vocabulary_size: int, prompt_length: int, context: int) -> str | None:
    settings = family.Settings.model_validate_json(key)
    return complaint(family, settings, vocabulary_size, prompt_length, context)


@functools.lru_cache(maxsize=64)
def _has_muon_parameters(family: type[Model], key: str, vocabulary_size: int, context: int) -> bool:
    with shapes_only():
        model = family(family.Settings.model_validate_json(key), vocabulary_size, context)
    return bool(model.muon_parameters())
