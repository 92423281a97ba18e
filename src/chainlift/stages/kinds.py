"""Every kind of stage by its name: the shipped ones, those of installed packages, and any `package.module:Class`."""

from __future__ import annotations

from typing import Any

from chainlift.references import Trust
from chainlift.registry import Registry
from chainlift.stages.ntp import NextTokenPrediction
from chainlift.stages.rl import ReinforcementLearning
from chainlift.stages.stage import Stage


def _accept(found: Any) -> type[Stage]:
    if not (isinstance(found, type) and issubclass(found, Stage) and found.train is not Stage.train):
        raise ValueError("a subclass of Stage (chainlift.stages.stage) with a train of its own")
    return found


KINDS: Registry[type[Stage]] = Registry("kind of stage", "chainlift.stages", _accept)
KINDS.register("ntp", NextTokenPrediction, shipped=True)
KINDS.register("rl", ReinforcementLearning, shipped=True)


def find(name: Any, trust: Trust | None = None) -> type[Stage]:
    """The kind of stage of that name; ValueError with the known names if there is none.

    trust: in the file that holds the name; None if the name is the user's own word (references.py).
    """
    return KINDS.find(name, trust)
