"""Every task by its name: the shipped ones, those of installed packages, and any class by `package.module:Class`.

A package makes a task known by an entry point in the group `chainlift.tasks`, whose module registers it when imported
or which names the class itself. A task from elsewhere is tried once, when it is built: where it does not fulfil the
protocol, the error names the missing part, before anything is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainlift import references
from chainlift.references import Trust, entry_points
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


def settings_class(name: str, trust: Trust | None = None) -> type[Settings]:
    """The settings class of the task `name`; ValueError with the known names if there is none.

    trust: in the file that holds the name; None if the name is the user's own word (references.py).
    """
    return _find(name, trust)[0]


def build(settings: Settings) -> Task:
    """The task that its settings describe (their field `name` chooses it); ValueError where it is no task."""
    name = getattr(settings, "name", None)
    task = _find(name)[1](settings)
    if not type(task).__module__.startswith(_SHIPPED):
        wrong = complaint(task)
        if wrong is not None:
            raise ValueError(f"task {name!r} does not fulfil the protocol: {wrong}")
    return task


def _find(name: Any, trust: Trust | None = None) -> tuple[type[Settings], Build]:
    """The task's settings and builder, its module imported if need be."""
    if not isinstance(name, str):
        raise ValueError(f"name must be one of {', '.join(names())} (got {name!r})")
    references.admit(name, trust)  # also for one that is imported already: what is allowed does not depend on the past
    if name not in _TASKS:
        for point in entry_points(group=GROUP):
            if point.name == name:
                _plug_in(name, point.value, references.load_entry_point(point))
    if name not in _TASKS and references.is_reference(name):
        _plug_in(name, name, references.load(name))
    if name not in _TASKS:
        known = f"known: {', '.join(names())}, or package.module:Class"
        raise ValueError(f"task {name!r} is not known{suggest(name, names())}; {known}")
    return _TASKS[name]


def _plug_in(name: str, path: str, found: Any) -> None:
    """Register the task `found` at `path` under `name`, unless importing it has done so."""
    if name in _TASKS or not references.is_reference(path):
        return
    settings = getattr(found, "Settings", None)
    if not (isinstance(found, type) and isinstance(settings, type) and issubclass(settings, Settings)):
        told = "a class with an attribute Settings, a subclass of chainlift.settings.Settings"
        raise ValueError(f"{path!r} is no task: it must be {told}")
    if "name" not in settings.model_fields:
        raise ValueError(f"{path!r} is no task: its Settings lack the field name")
    register(name, settings, found)
