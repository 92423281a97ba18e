"""Registry of model families, and functions that build a model of the family that `model.family` names.

A family is a subclass of Model (models/model.py). It has a registered name, an entry point in the group
`chainlift.families`, or a reference `package.module:Class`. A family from outside chainlift is tried once on a few
random tokens before anything is trained.
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
from chainlift.models.transformer.llama import Llama
from chainlift.models.transformer.transformer import Transformer
from chainlift.references import Trust
from chainlift.registry import Registry
from chainlift.settings import Settings
from chainlift.tasks.base import Task
from chainlift.tasks.lengths import longest_sequence
from chainlift.text.task import TextTask

DEFAULT = "gpt2"


def _accept(candidate: Any) -> type[Model] | type[Pretrained]:
    if candidate is Pretrained:
        return Pretrained
    if not (isinstance(candidate, type) and issubclass(candidate, Model)):
        raise ValueError("a subclass of chainlift.models.model.Model")
    settings = getattr(candidate, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, Settings) and "family" in settings.model_fields):
        raise ValueError(
            "a class with an attribute Settings, a subclass of chainlift.settings.Settings with the field family"
        )
    return candidate


FAMILIES: Registry[type[Model] | type[Pretrained]] = Registry("family", "chainlift.families", _accept)
FAMILIES.register("gpt2", Transformer, shipped=True)
FAMILIES.register("mistral", Transformer, shipped=True)
FAMILIES.register("llama", Llama, shipped=True)
FAMILIES.register("linear", LinearModel, shipped=True)
FAMILIES.register("transformers", Pretrained, shipped=True)


def settings_class(content: dict[str, Any], trust: Trust | None = None) -> type[Settings]:
    """The settings class of the family that `content` names; ValueError lists the known families.

    trust: for the file that holds the content; None if it comes from the user (references.py).
    """
    return FAMILIES.find(content.get("family", DEFAULT), trust).Settings


def family_of(settings: Settings) -> type[Model]:
    """The family of the settings, which must be of our own engine; ValueError if it is that of transformers."""
    family = FAMILIES.find(name_of(settings))
    if not issubclass(family, Model):
        raise ValueError(f"family {name_of(settings)!r} is trained by TRL, and this needs a model of our own engine")
    return family


def name_of(settings: Settings) -> str:
    """The name of the settings' family."""
    return str(getattr(settings, "family", None))


def check(settings: Settings, task: Task | TextTask) -> None:
    """Raise a one-line ValueError if the model cannot learn the task, or its family does not fulfill the protocol."""
    name, task_name = name_of(settings), getattr(task.settings, "name", None)
    family = FAMILIES.find(name)
    if isinstance(task, TextTask):
        if not (issubclass(family, Pretrained) or family.reads_text):
            raise ValueError(
                f"family {name!r} reads symbols, and task {task_name!r} is text; choose model.family=llama"
            )
        return
    if issubclass(family, Pretrained):
        raise ValueError(
            f"family {name!r} reads text, and task {task_name!r} has symbols; choose model.family={DEFAULT}"
        )
    family.check(settings, task)
    if FAMILIES.is_shipped(name_of(settings)):
        return
    violation = _complaint(family, _key(settings), task.vocabulary.size, task.prompt_length, longest_sequence(task))
    if violation is not None:
        raise ValueError(f"family {name_of(settings)!r} does not fulfill the protocol: {violation}")


def check_muon(settings: Settings, task: Task) -> None:
    """Raise a one-line ValueError if the model has no matrices that Muon optimizes."""
    if not _has_muon_parameters(family_of(settings), _key(settings), task.vocabulary.size, longest_sequence(task)):
        raise ValueError(f"optimizer muon needs the matrices of blocks; family {name_of(settings)} has none")


def bound(settings: Settings, task: Task | TextTask) -> Task:
    """The task as models with these settings read it: one of text in the tokens of their tokenizer.

    ValueError in one line if the tokenizer or the problems cannot be opened.
    """
    return family_of(settings).bind(settings, task) if isinstance(task, TextTask) else task


def build(settings: Settings, task: Task, context: int | None = None) -> Model:
    """A model for the task with `context` positions (default: the task's longest sequence), not yet initialized."""
    check(settings, task)
    model = of_size(settings, task.vocabulary.size, context or longest_sequence(task))
    model.padding = masked_padding(task)
    return model


def masked_padding(task: Task) -> int | None:
    """The token that models mask where it stands left of a prompt, None if the task has none."""
    return getattr(task, "padding", None) if getattr(task, "masks_padding", False) else None


def of_size(settings: Settings, vocabulary_size: int, context: int) -> Model:
    """A model of `vocabulary_size` tokens and `context` positions, not yet initialized."""
    return family_of(settings)(settings, vocabulary_size, context)


def fewest_parameters(settings: Settings, context: int) -> int:
    """A lower bound on the number of parameters, also of models that are too large to build."""
    return family_of(settings).fewest_parameters(settings, context)


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
