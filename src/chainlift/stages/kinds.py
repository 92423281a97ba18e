"""Every kind of stage by its name: the shipped ones, those of installed packages, and any `package.module:Class`.

A shipped kind is the class in `chainlift.stages.<name>` whose `kind` is `<name>`; nothing lists them.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from chainlift import references
from chainlift.references import Trust, entry_points
from chainlift.settings import suggest
from chainlift.stages.stage import Stage

GROUP = "chainlift.stages"
HERE = __name__.rpartition(".")[0]

_KINDS: dict[str, type[Stage]] = {}


def register(name: str, kind: type[Stage]) -> None:
    """Make a kind of stage known under `name`."""
    _KINDS[name] = _checked(name, kind)


def names() -> list[str]:
    """The names of all kinds: shipped and registered ones, and those that installed packages plug in."""
    shipped = {name for name in _modules() if _shipped(name) is not None}
    return sorted(shipped | set(_KINDS) | {point.name for point in entry_points(group=GROUP)})


def find(name: Any, trust: Trust | None = None) -> type[Stage]:
    """The kind of stage of that name; ValueError with the known names if there is none.

    trust: in the file that holds the name; None if the name is the user's own word (references.py).
    """
    if not isinstance(name, str):
        raise ValueError(f"kind must be one of {', '.join(names())} (got {name!r})")
    references.admit(name, trust)
    if name not in _KINDS and (kind := _shipped(name)) is not None:
        register(name, kind)
    if name not in _KINDS:
        for point in entry_points(group=GROUP):
            if point.name == name:
                register(name, references.load_entry_point(point))
    if name not in _KINDS and references.is_reference(name):
        register(name, references.load(name))
    if name not in _KINDS:
        known = f"known: {', '.join(names())}, or package.module:Class"
        raise ValueError(f"kind {name!r} is not known{suggest(name, names())}; {known}")
    return _KINDS[name]


def _modules() -> set[str]:
    """The names of the modules beside this one."""
    return {module.name for module in pkgutil.iter_modules(importlib.import_module(HERE).__path__)}


def _shipped(name: str) -> type[Stage] | None:
    """The kind that the module of this name defines, if there is such a module and it does."""
    if name not in _modules():
        return None
    module = importlib.import_module(f"{HERE}.{name}")
    for found in vars(module).values():
        is_own = isinstance(found, type) and issubclass(found, Stage) and found.__module__ == module.__name__
        if is_own and found.model_fields["kind"].default == name:
            return found
    return None


def _checked(name: str, found: Any) -> type[Stage]:
    if not (isinstance(found, type) and issubclass(found, Stage) and found.train is not Stage.train):
        what = "it must be a subclass of Stage (chainlift.stages.stage) with a train of its own"
        raise ValueError(f"{name!r} is no kind of stage: {what}")
    return found
