"""Tasks by name: the shipped ones, those of installed packages, and any class by `package.module:Class`.

A task that does not ship with chainlift is checked when it is built, before anything is trained. If it does not fulfill
the protocol, the error names the missing part.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from chainlift.references import Trust
from chainlift.registry import Registry
from chainlift.settings import Settings
from chainlift.tasks.base import Task
from chainlift.tasks.contract import complaint

GROUP = "chainlift.tasks"
OF_TEXT = {
    "gsm8k": "chainlift.text.sources.gsm8k",
    "gsm_symbolic": "chainlift.text.sources.gsm_symbolic",
    "jsonl": "chainlift.text.sources.jsonl",
    "math": "chainlift.text.sources.math_data",
    "word_problems": "chainlift.text.sources.word_problems",
}
"""{name: module that registers it} of the shipped tasks of text."""


class TaskKind(NamedTuple):
    """The settings and the constructor of a task."""

    settings: type[Settings]
    """The strict settings of the task; they have a field `name`."""
    build: Callable[[Any], Any]
    """Function from settings to the task."""


def _accept(piece: Any) -> TaskKind:
    """The piece itself if it is a TaskKind, otherwise the kind of a class with an attribute `Settings`."""
    if isinstance(piece, TaskKind):
        return piece
    settings = getattr(piece, "Settings", None)
    if not (isinstance(piece, type) and isinstance(settings, type) and issubclass(settings, Settings)):
        raise ValueError("a class with an attribute Settings, a subclass of chainlift.settings.Settings")
    if inspect.isabstract(piece):
        raise ValueError(f"a class without abstract methods (it lacks {', '.join(sorted(piece.__abstractmethods__))})")
    if "name" not in settings.model_fields:
        raise ValueError("a class whose Settings have the field name")
    return TaskKind(settings, piece)


class TaskRegistry(Registry[TaskKind]):
    """Tasks by name; a shipped task of text, whose package is in a later layer, is imported when it is looked up."""

    def names(self) -> list[str]:
        """All known names, sorted."""
        return sorted({*super().names(), *OF_TEXT})

    def is_shipped(self, name: str) -> bool:
        """Whether a task of this name ships with chainlift."""
        return name in OF_TEXT or super().is_shipped(name)

    def register(self, name: str, piece: Any, *, shipped: bool = False) -> None:
        """Make a task known under `name`; ValueError if it is not a task, or if a shipped task has the name."""
        if name in OF_TEXT and not shipped:
            raise ValueError(f"{self.kind} {name!r} is shipped with chainlift; choose another name")
        super().register(name, piece, shipped=shipped)

    def _plug_in(self, name: str) -> None:
        if name in OF_TEXT:
            importlib.import_module(OF_TEXT[name])
        else:
            super()._plug_in(name)


TASKS = TaskRegistry("task", GROUP, _accept)


def settings_class(name: Any, trust: Trust | None = None) -> type[Settings]:
    """The settings class of the task `name`; ValueError with the known names if there is none.

    trust: how far the file with the name is trusted; None if the user typed the name (references.py).
    """
    return TASKS.find(name, trust).settings


def make(settings: Settings) -> Any:
    """The task of these settings, chosen by their field `name`; ValueError if it violates its protocol.

    It is a Task of tasks/base.py, or checks itself in a method `complaint`, as tasks of text do (text/task.py).
    """
    name = getattr(settings, "name", None)
    task = TASKS.find(name).build(settings)
    if not TASKS.is_shipped(str(name)):
        violation = task.complaint() if _checks_itself(task) else complaint(task)
        if violation is not None:
            raise ValueError(f"task {name!r} does not fulfill the protocol: {violation}")
    return task


def build(settings: Settings) -> Task:
    """The task of symbols of these settings; ValueError if they describe a task of text."""
    task = make(settings)
    if _checks_itself(task):
        raise ValueError(f"task {getattr(settings, 'name', None)!r} is not a task of symbols, which this needs")
    return task


def _checks_itself(task: Any) -> bool:
    """Whether the task has a method `complaint`."""
    return callable(getattr(task, "complaint", None))
