"""Decorators that register your own pieces under short names, from a notebook cell or a script.

    @cl.reward                      registered under the function's name
    def brief(verdict): ...

    @cl.task("alternating")         registered under this name
    class Alternating: ...

The default name of a class is its name in snake case: `my_task` for `MyTask`. A registration lasts until the process
ends; a cell that runs again replaces the piece.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar, overload

Piece = TypeVar("Piece", bound=Callable[..., Any])

REGISTERED: set[str] = set()
"""Names of the pieces registered in this process; other processes do not know them."""


class Decorator:
    """A decorator that registers one kind of piece, used with or without a name."""

    def __init__(self, register: Callable[[str, Any], None], doc: str) -> None:
        self._register = register
        self.__doc__ = doc

    @overload
    def __call__(self, piece_or_name: Piece, /) -> Piece: ...

    @overload
    def __call__(self, piece_or_name: str, /) -> Callable[[Piece], Piece]: ...

    def __call__(self, piece_or_name: Any, /) -> Any:
        """Register a piece and return it; for a name, return the decorator that registers under it."""
        if not isinstance(piece_or_name, str):
            return self._add(_snake_case(piece_or_name.__name__), piece_or_name)
        return lambda piece: self._add(piece_or_name, piece)

    def _add(self, name: str, piece: Piece) -> Piece:
        """Register a piece and return it."""
        self._register(name, piece)
        REGISTERED.add(name)
        return piece


def _snake_case(name: str) -> str:
    """A name in snake case: `my_task` for `MyTask`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _task(name: str, piece: Any) -> None:
    from chainlift.tasks.registry import TASKS

    TASKS.register(name, piece)


def _family(name: str, piece: Any) -> None:
    from chainlift.models.families import FAMILIES

    FAMILIES.register(name, piece)


def _reward(name: str, piece: Any) -> None:
    from chainlift.learning.reward import REWARDS

    REWARDS.register(name, piece)


def _algorithm(name: str, piece: Any) -> None:
    from chainlift.learning.presets import ALGORITHMS

    ALGORITHMS.register(name, piece())


def _stage(name: str, piece: Any) -> None:
    from chainlift.stages import kind_registry

    kind_registry.KINDS.register(name, piece)


task = Decorator(_task, "Register a task: a class with strict settings as `Settings` (tasks/base.py).")
family = Decorator(_family, "Register a model family: a subclass of `cl.Model` with `Settings` (models/model.py).")
reward = Decorator(_reward, "Register a reward: a function from a verdict on N responses to N numbers from 0 to 1.")
algorithm = Decorator(_algorithm, "Register an algorithm: a function without arguments that returns a `cl.Objective`.")
stage = Decorator(_stage, "Register a kind of stage: a subclass of `cl.Stage` with a `train` (stages/stage.py).")
