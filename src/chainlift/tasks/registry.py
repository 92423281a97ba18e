"""Every task by its name: the shipped ones, those of installed packages, and any class by `package.module:Class`.

A task from elsewhere is tried when it is built: where it does not fulfill the protocol, the error names the missing
part, before anything is trained.
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
    "gsm8k": "chainlift.text.gsm8k",
    "math": "chainlift.text.math_data",
    "word_problems": "chainlift.text.word_problems",
}
"""{name: the module that registers it} of the shipped tasks of text."""


class TaskKind(NamedTuple):
    """How a task is made."""

    settings: type[Settings]
    """Its strict settings, which have a field `name`."""
    build: Callable[[Any], Any]
    """From settings to the task."""


def _accept(found: Any) -> TaskKind:
    """The kind itself, or that of a class with its settings as the attribute `Settings`."""
    if isinstance(found, TaskKind):
        return found
    settings = getattr(found, "Settings", None)
    if not (isinstance(found, type) and isinstance(settings, type) and issubclass(settings, Settings)):
        raise ValueError("a class with an attribute Settings, a subclass of chainlift.settings.Settings")
    if inspect.isabstract(found):
        raise ValueError(f"a class without abstract methods (it lacks {', '.join(sorted(found.__abstractmethods__))})")
    if "name" not in settings.model_fields:
        raise ValueError("a class whose Settings have the field name")
    return TaskKind(settings, found)


class TaskRegistry(Registry[TaskKind]):
    """The tasks by name; those of text, in a room to the right of this one, are imported when one is looked up."""

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*super().names(), *OF_TEXT})

    def is_shipped(self, name: str) -> bool:
        """Whether the name is that of a task that comes with chainlift."""
        return name in OF_TEXT or super().is_shipped(name)

    def register(self, name: str, piece: Any, *, shipped: bool = False) -> None:
        """Make a task known under `name`; ValueError if it is none, or if the name is that of a shipped one."""
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

    trust: in the file that holds the name; None if the name is the user's own word (references.py).
    """
    return TASKS.find(name, trust).settings


def make(settings: Settings) -> Any:
    """The task that its settings describe (their field `name` chooses it); ValueError where a protocol is violated.

    It is a Task of tasks/base.py, or judges itself by a method `complaint`, as tasks of text do (text/task.py).
    """
    name = getattr(settings, "name", None)
    task = TASKS.find(name).build(settings)
    if not TASKS.is_shipped(str(name)):
        wrong = task.complaint() if _judges_itself(task) else complaint(task)
        if wrong is not None:
            raise ValueError(f"task {name!r} does not fulfil the protocol: {wrong}")
    return task


def build(settings: Settings) -> Task:
    """The task of symbols that its settings describe; ValueError where they describe none."""
    task = make(settings)
    if _judges_itself(task):
        raise ValueError(f"task {getattr(settings, 'name', None)!r} is no task of symbols, which this needs")
    return task


def _judges_itself(task: Any) -> bool:
    return callable(getattr(task, "complaint", None))
