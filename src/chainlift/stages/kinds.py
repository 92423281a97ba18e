"""Every kind of stage by its name: the shipped ones, those of installed packages, and any `package.module:Class`.

A shipped kind is the class whose `kind` is `<name>` in the file `<name>.py` beside this one, or in the folder `policy`:
a new one is its own file, and no other lists it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from typing import Any

from chainlift.references import Trust
from chainlift.registry import Registry
from chainlift.stages.stage import Stage

HERE = __name__.rpartition(".")[0]
ROOMS = (HERE, f"{HERE}.policy")
"""Packages whose files may be kinds."""


class KindRegistry(Registry[type[Stage]]):
    """The kinds by name; those that ship are found in the files of ROOMS."""

    def register(self, name: str, piece: Any, *, shipped: bool = False) -> None:
        """Make a kind known under `name`; ValueError if it is none, or if the name is that of a shipped one."""
        if self.is_shipped(name):
            raise ValueError(f"{self.kind} {name!r} is shipped with chainlift; choose another name")
        super().register(name, piece, shipped=shipped)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*super().names(), *(name for name in _modules() if self.is_shipped(name))})

    def is_shipped(self, name: str) -> bool:
        """Whether the name is that of a kind that comes with chainlift."""
        return _shipped(name) is not None

    def _plug_in(self, name: str) -> None:
        kind = _shipped(name)
        if kind is None:
            super()._plug_in(name)
        else:
            self._pieces[name] = kind


def _accept(found: Any) -> type[Stage]:
    if not (isinstance(found, type) and issubclass(found, Stage) and not inspect.isabstract(found)):
        raise ValueError("a subclass of Stage (chainlift.stages.stage) with a train of its own")
    return found


KINDS = KindRegistry("kind of stage", "chainlift.stages", _accept)


def find(name: Any, trust: Trust | None = None) -> type[Stage]:
    """The kind of stage of that name; ValueError with the known names if there is none.

    trust: in the file that holds the name; None if the name is the user's own word (references.py).
    """
    return KINDS.find(name, trust)


@functools.cache
def _modules() -> dict[str, str]:
    """The full names of the modules in ROOMS by their short ones."""
    paths = {room: importlib.import_module(room).__path__ for room in ROOMS}
    return {module.name: f"{room}.{module.name}" for room in ROOMS for module in pkgutil.iter_modules(paths[room])}


@functools.cache
def _shipped(name: str) -> type[Stage] | None:
    """The kind that the module of this name defines, if there is such a module and it does."""
    if name not in _modules():
        return None
    module = importlib.import_module(_modules()[name])
    for found in vars(module).values():
        is_own = isinstance(found, type) and issubclass(found, Stage) and found.__module__ == module.__name__
        if is_own and found.model_fields["kind"].default == name:
            return found
    return None
