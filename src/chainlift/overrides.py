"""What is typed beside a recipe: dotted `key=value`, and seeds as `0-4` or `0,2,5`."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

from chainlift import yaml_text
from chainlift.settings import Settings
from chainlift.visible import shown

MOST_SEEDS = 10_000

Kind = Callable[[dict[str, Any]], type[Settings]]
"""From the keys and values of a recipe's part to the class that reads them."""
Kinds = Mapping[str, Kind]
"""Of the parts whose class depends on their keys."""


def overridden(content: dict[str, Any], overrides: list[str] | None, kinds: Kinds | None = None) -> dict[str, Any]:
    """The keys and values with dotted overrides put in, in place; ValueError for any other text.

    kinds: of parts in which an override may choose another class: what the content said to its former class alone is
    left out then.
    """
    before = copy.deepcopy(content)
    for one in overrides or []:
        _override(content, one)
    for key, kind in (kinds or {}).items():
        _leave_out_foreign(content, before, key, overrides or [], kind)
    return content


def parse_seeds(text: str) -> list[int]:
    """The seeds of `0-4` or `0,2,5`, in order and each once; ValueError for anything else, and for MOST_SEEDS."""
    found: set[int] = set()
    for piece in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", piece, re.ASCII)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise ValueError(f"--seeds: {shown(text)} is neither a range like 0-4 nor a list like 0,2,5")
        several = range(int(match[1]), int(match[2] or match[1]) + 1)
        if len(found) + len(several) > MOST_SEEDS:
            raise ValueError(f"--seeds: {shown(text)} are more than {MOST_SEEDS:,} seeds")
        found.update(several)
    return sorted(found)


def _override(content: dict[str, Any], override: str) -> None:
    """Put one dotted `key=value` into nested keys and values."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ValueError(f"{shown(override)} is no override; write key=value, for example posttrain.algorithm=star")
    try:
        value = yaml_text.parse(text)
    except ValueError as error:
        raise ValueError(f"{key}: {shown(text)} is not a YAML value ({error})") from error
    *parents, last = key.split(".")
    if len(parents) >= yaml_text.DEPTH:
        raise ValueError(f"{shown(key)}: no key lies so deep")
    node = content
    for parent in parents:
        child = node.get(parent)
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise ValueError(f"{key}: {parent} has no keys")
        node = child
    node[last] = value


def _leave_out_foreign(
    content: dict[str, Any], before: dict[str, Any], key: str, overrides: list[str], kind: Kind
) -> None:
    """Leave out of one part what its new class does not know or fixes; what the user has typed stays, to be named."""
    part, old = _at(content, key), _at(before, key)
    typed = {one.partition("=")[0] for one in overrides}
    if key in typed or not isinstance(part, dict) or not isinstance(old, dict):
        return
    try:
        chosen, former = kind(part), kind(old)
    except ValueError:
        return  # an unknown name: validation tells
    if chosen is not former:
        free = chosen.model_fields.keys() - getattr(chosen, "FIXED", frozenset())
        for name in old.keys() - free:
            if f"{key}.{name}" not in typed:
                del part[name]


def _at(content: dict[str, Any], key: str) -> Any:
    """What stands under a dotted key, None if nothing does."""
    node: Any = content
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node
