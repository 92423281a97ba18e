"""Registry of the kinds of stages: the shipped ones, those of installed packages, and any `package.module:Class`.

A shipped kind is the class in `stages/kinds/<name>.py` whose `kind` is `<name>`: a new kind is a new file, and no other
file lists it.
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

PACKAGE = f"{__name__.rpartition('.')[0]}.kinds"


class KindRegistry(Registry[type[Stage]]):
    """Kinds by name; the shipped ones are found in the files of kinds/."""

    def register(self, name: str, piece: Any, *, shipped: bool = False) -> None:
        """Register a kind under `name`; ValueError if it is not one, or if a shipped kind has the name."""
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


def _accept(kind: Any) -> type[Stage]:
    if not (isinstance(kind, type) and issubclass(kind, Stage) and not inspect.isabstract(kind)):
        raise ValueError("a subclass of Stage (chainlift.stages.stage) with a method train")
    return kind


KINDS = KindRegistry("kind of stage", "chainlift.stages", _accept)


def find(name: Any, trust: Trust | None = None) -> type[Stage]:
    """The kind of stage of that name; ValueError with the known names if there is none.

    trust: in the file that holds the name; None if the user gave the name (references.py).
    """
    return KINDS.find(name, trust)


@functools.cache
def _modules() -> frozenset[str]:
    """Names of the modules in kinds/."""
    return frozenset(module.name for module in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__))


@functools.cache
def _shipped(name: str) -> type[Stage] | None:
    """The kind that the module of this name defines; None if there is none."""
    if name not in _modules():
        return None
    module = importlib.import_module(f"{PACKAGE}.{name}")
    for value in vars(module).values():
        is_local_kind = isinstance(value, type) and issubclass(value, Stage) and value.__module__ == module.__name__
        if is_local_kind and value.model_fields["kind"].default == name:
            return value
    return None
