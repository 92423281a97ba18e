"""chainlift: what does reinforcement learning add after next-token prediction?

`import chainlift as cl` provides the functions and decorators of `chainlift.api`, and the base classes for your own
pieces. Each is imported at its first use, so that importing chainlift is fast; PyTorch is imported when something is
built or trained.
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

_EXPORTS = {
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
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}
"""{public name: module that defines it}."""


class _CallablePackage(ModuleType):
    """A subpackage that can be called as the function of the same name in api/verbs.py.

    Python binds `chainlift.theory` to the subpackage as soon as anything in it is imported, which would replace a
    function of that name.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function()(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        import inspect

        return inspect.signature(self._function())

    def _function(self) -> Any:
        return getattr(importlib.import_module("chainlift.api"), self.__name__.rpartition(".")[2])


for _name in ("runs", "sweep", "theory"):
    importlib.import_module(f"chainlift.{_name}").__class__ = _CallablePackage


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'chainlift' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"chainlift.{_MODULE_OF[name]}"), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
