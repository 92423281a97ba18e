"""The chain of a recipe's stages: the stage that each one starts from, the keys that it inherits, and what it needs.

A `start` is `name`, `name@step`, the folder of a checkpoint, or None for fresh weights; names are of earlier stages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chainlift.settings import Settings, suggest
from chainlift.stages.base_recipe import KeyedError
from chainlift.stages.stage import Stage

NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
REFERENCES = ("start", "mixture", "match_tokens")
"""Keys whose meaning depends on another part of the recipe."""
NOT_INHERITED = ("start", "match_tokens", "token_ratio", "keep", "steps")
"""Keys that a stage with match_tokens does not inherit from its start."""


def with_inherited(stages: Mapping[str, Any], reserved: set[str]) -> dict[str, dict[str, Any]]:
    """Keys and values of the stages that are not null, each with its start and the keys that it inherits.

    ValueError for a name that is malformed, or `reserved` as a key of recipes or summaries.
    """
    resolved: dict[str, dict[str, Any]] = {}
    before: str | None = None
    for name, stage in stages.items():
        if stage is None:
            continue
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in reserved:
            raise ValueError(
                f"{name!r} is no name for a stage: small letters, digits and _, and no key of recipes or summaries"
            )
        content = stage.model_dump() if isinstance(stage, Settings) else stage
        if isinstance(stage, Settings) and "start" not in stage.model_fields_set:
            del content["start"]
        if not isinstance(content, dict):
            raise KeyedError(name, "must hold keys and values")
        content = {"start": before, **content}
        base = resolved.get(_name_in(content["start"]))
        if content.get("match_tokens") is not None and base is not None and base.get("kind") == content.get("kind"):
            content = {key: value for key, value in base.items() if key not in NOT_INHERITED} | content
        resolved[name] = content
        before = name
    return resolved


def without_inherited(stages: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Keys and values of the stages without inherited ones, so that these follow later changes of the start."""
    stripped = {}
    for name, content in stages.items():
        base = stages.get(_name_in(content["start"]), {})
        follows = content.get("match_tokens") is not None and base.get("kind") == content.get("kind")
        stripped[name] = {
            key: value
            for key, value in content.items()
            if not follows or key == "kind" or key in NOT_INHERITED or key not in base or base[key] != value
        }
    return stripped


def check(stages: Mapping[str, Stage]) -> None:
    """ValueError that names the key, unless every start and matched stage is an earlier stage, or a folder."""
    earlier: list[str] = []
    for name, stage in stages.items():
        if stage.start is not None and not _is_folder(stage.start):
            _check_start(stage.start, name, {other: stages[other] for other in earlier})
        matched = getattr(stage, "match_tokens", None)
        if matched is not None and matched not in earlier:
            raise KeyedError(
                f"{name}.match_tokens", f"no earlier stage is called {matched!r}{suggest(matched, earlier)}"
            )
        total = stage.total_steps
        for step in stage.keep if isinstance(stage.keep, list) else ():
            if total is not None and step > total:
                raise KeyedError(f"{name}.keep", f"the stage ends after {total} steps")
            if not stage.can_stop(step):
                raise KeyedError(f"{name}.keep", f"step {step} is within a round; checkpoints are at ends of rounds")
        earlier.append(name)


def split(start: str | None, stages: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """(stage, step) of a start, with step None for its end; (folder, None) or (None, None) for other starts."""
    name, at, step = (start or "").partition("@")
    if start is None or name not in stages or _is_folder(start):
        return start, None
    return name, int(step) if at else None


def needed_for(stages: Mapping[str, Stage], name: str) -> set[str]:
    """The names of a stage and of all that it builds on."""
    needed, to_visit = set[str](), [name]
    while to_visit:
        current = to_visit.pop()
        if current not in needed:
            needed.add(current)
            to_visit += _direct(stages, current)
    return needed


def built_on(stages: Mapping[str, Stage]) -> list[str]:
    """The names of the stages that others build on, in order."""
    bases = {base for name in stages for base in _direct(stages, name)}
    return [name for name in stages if name in bases]


def steps_needed(stages: Mapping[str, Stage], name: str) -> frozenset[int]:
    """The steps of a stage that other stages start from."""
    pairs = [split(stage.start, stages) for stage in stages.values()]
    return frozenset(step for start, step in pairs if start == name and step is not None)


def keeping(stages: Mapping[str, Stage], name: str) -> Stage:
    """The stage, set to keep the checkpoints that other stages start from, even if those stages are left out."""
    stage, steps = stages[name], steps_needed(stages, name)
    if not steps or stage.keep == "all" or stage.total_steps is None:
        return stage
    kept = {step for step in range(1, stage.total_steps + 1) if stage.keeps(step)}
    return stage.model_copy(update={"keep": sorted(kept | steps)})


def _direct(stages: Mapping[str, Stage], name: str) -> list[str]:
    """The stages that a stage starts from or matches."""
    stage = stages[name]
    bases = [split(stage.start, stages)[0], getattr(stage, "match_tokens", None)]
    return [base for base in bases if base is not None and base in stages]


def _check_start(start: str, name: str, earlier: Mapping[str, Stage]) -> None:
    key = f"{name}.start"
    other, at, step = start.partition("@")
    if other not in earlier:
        known = ", ".join(earlier) or "none"
        raise KeyedError(
            key,
            f"no earlier stage is called {other!r}{suggest(other, earlier)}; known: {known}, or a folder as ./folder",
        )
    if at:
        total = earlier[other].total_steps
        if not step.isdecimal() or int(step) < 1 or (total is not None and int(step) > total):
            most = "" if total is None else f" to {total}"
            raise KeyedError(key, f"{start!r} must name a step of {other}, from 1{most}: {other}@100")
        if not earlier[other].can_stop(int(step)):
            raise KeyedError(key, f"{start!r} is within a round; checkpoints are at ends of rounds")


def _name_in(start: Any) -> str:
    return start.partition("@")[0] if isinstance(start, str) else ""


def _is_folder(start: str) -> bool:
    return "/" in start or "\\" in start
