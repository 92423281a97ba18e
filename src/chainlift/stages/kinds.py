"""Every kind of stage by its name: the shipped ones, those of installed packages, and any `package.module:Class`."""

from __future__ import annotations

from typing import Any

from chainlift import references
from chainlift.references import Trust, entry_points
from chainlift.settings import suggest
from chainlift.stages.ntp import NextTokenPrediction
from chainlift.stages.rl import ReinforcementLearning
from chainlift.stages.stage import Stage

GROUP = "chainlift.stages"

SHIPPED: dict[str, type[Stage]] = {"ntp": NextTokenPrediction, "rl": ReinforcementLearning}
_KINDS = dict(SHIPPED)


def register(name: str, kind: type[Stage]) -> None:
    """Make a kind of stage known under `name`; ValueError if that is a shipped one's, on which recipes rely."""
    if name in SHIPPED:
        raise ValueError(f"kind {name!r} is shipped with chainlift; choose another name")
    _KINDS[name] = _checked(name, kind)


def names() -> list[str]:
    """The names of all kinds: shipped ones and those that installed packages plug in."""
    return sorted(set(_KINDS) | {point.name for point in entry_points(group=GROUP)})


def find(name: Any, trust: Trust | None = None) -> type[Stage]:
    """The kind of stage of that name; ValueError with the known names if there is none.

    trust: in the file that holds the name; None if the name is the user's own word (references.py).
    """
    if not isinstance(name, str):
        raise ValueError(f"kind must be one of {', '.join(names())} (got {name!r})")
    references.admit(name, trust)
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


def _checked(name: str, found: Any) -> type[Stage]:
    if not (isinstance(found, type) and issubclass(found, Stage) and found.train is not Stage.train):
        what = "it must be a subclass of Stage (chainlift.stages.stage) with a train of its own"
        raise ValueError(f"{name!r} is no kind of stage: {what}")
    return found
