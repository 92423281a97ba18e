"""chainlift: what does reinforcement learning add after next-token prediction?

`import chainlift as cl` gives the verbs and decorators of the room `api`, and the base classes of your own pieces. Each
is imported when it is first used: importing chainlift takes a moment, and PyTorch waits until something is built or
trained.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainlift.api import (
        Run,
        algorithm,
        family,
        open,
        recipe,
        reward,
        run,
        runs,
        stage,
        sweep,
        task,
        theory,
    )
    from chainlift.learning.presets import Objective
    from chainlift.models.model import Model
    from chainlift.settings import Settings
    from chainlift.stages.recipe import Recipe
    from chainlift.stages.stage import Stage

try:
    __version__ = version("chainlift")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "Model",
    "Objective",
    "Recipe",
    "Run",
    "Settings",
    "Stage",
    "algorithm",
    "family",
    "open",
    "recipe",
    "reward",
    "run",
    "runs",
    "stage",
    "sweep",
    "task",
    "theory",
]

_HOMES = {
    "api": (
        *("Run", "open", "recipe", "run", "runs", "sweep", "theory"),
        *("algorithm", "family", "reward", "stage", "task"),
    ),
    "learning.presets": ("Objective",),
    "models.model": ("Model",),
    "settings": ("Settings",),
    "stages.recipe": ("Recipe",),
    "stages.stage": ("Stage",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
"""Of each public name, the module that defines it."""


class _VerbAndRoom(ModuleType):
    """A package of chainlift whose name is also a verb: called, it does what the verb in api/verbs.py does.

    Python binds `chainlift.theory` to the package as soon as anything inside it is imported, which would
    replace a function of that name.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._verb()(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        import inspect

        return inspect.signature(self._verb())

    def _verb(self) -> Any:
        return getattr(importlib.import_module("chainlift.api"), self.__name__.rpartition(".")[2])


for _name in ("runs", "sweep", "theory"):
    importlib.import_module(f"chainlift.{_name}").__class__ = _VerbAndRoom


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'chainlift' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"chainlift.{_HOME[name]}"), name)
    setattr(sys.modules[__name__], name, found)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
