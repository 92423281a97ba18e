"""Every task by its name: the shipped ones, those of installed packages, and any class by `package.module:Class`.

A package makes a task known by an entry point in the group `chainlift.tasks`, whose module registers it when imported
or which names the class itself. A task from elsewhere is tried once, when it is built: where it does not fulfil the
protocol, the user is told which part of it, before anything is trained.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from chainlift.settings import Settings, suggest
from chainlift.tasks.base import Task
from chainlift.tasks.contract import complaint

GROUP = "chainlift.tasks"
Build = Callable[[Any], Task]

_TASKS: dict[str, tuple[type[Settings], Build]] = {}
_SHIPPED = f"{__name__.rpartition('.')[0]}."


def register(name: str, settings: type[Settings], build: Build) -> None:
    """Make a task known under `name`: its strict settings, and how to build it from them."""
    _TASKS[name] = (settings, build)


def names() -> list[str]:
    """The names of all tasks: shipped ones and those that installed packages plug in."""
    return sorted(set(_TASKS) | {point.name for point in entry_points(group=GROUP)})


def settings_class(name: str) -> type[Settings]:
    """The settings class of the task `name`; ValueError with the known names if there is none."""
    return _find(name)[0]


def build(settings: Settings) -> Task:
    """The task that its settings describe (their field `name` chooses it); ValueError where it is no task."""
    name = getattr(settings, "name", None)
    task = _find(name)[1](settings)
    if not type(task).__module__.startswith(_SHIPPED):
        wrong = complaint(task)
        if wrong is not None:
            raise ValueError(f"task {name!r} does not fulfil the protocol: {wrong}")
    return task


def _find(name: Any) -> tuple[type[Settings], Build]:
    """The task's settings and builder, its module imported if need be."""
    if not isinstance(name, str):
        raise ValueError(f"name must be one of {', '.join(names())} (got {name!r})")
    if name not in _TASKS:
        for point in entry_points(group=GROUP):
            if point.name == name:
                _plug_in(name, point.value)
    if name not in _TASKS and ":" in name:
        _plug_in(name, name)
    if name not in _TASKS:
        known = f"known: {', '.join(names())}, or package.module:Class"
        raise ValueError(f"task {name!r} is not known{suggest(name, names())}; {known}")
    return _TASKS[name]


def load_object(path: str) -> Any:
    """What `package.module:name` (or a module alone) names; modules in the working directory are found too.

    ValueError in one line that says what failed.
    """
    module_name, _, attribute = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that it hides nothing
    try:
        found: Any = importlib.import_module(module_name)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except Exception as error:  # whatever a stranger's module raises
        told = " ".join(str(error).split())
        raise ValueError(f"{path!r} cannot be imported: {type(error).__name__}: {told}") from error
    return found


def _plug_in(name: str, path: str) -> None:
    """Register the task at `path` under `name`, unless importing it has done so."""
    found = load_object(path)
    if name in _TASKS or ":" not in path:
        return
    settings = getattr(found, "Settings", None)
    if not (isinstance(found, type) and isinstance(settings, type) and issubclass(settings, Settings)):
        told = "a class with an attribute Settings, a subclass of chainlift.settings.Settings"
        raise ValueError(f"{path!r} is no task: it must be {told}")
    if "name" not in settings.model_fields:
        raise ValueError(f"{path!r} is no task: its Settings lack the field name")
    register(name, settings, found)
