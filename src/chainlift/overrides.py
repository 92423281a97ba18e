"""Command-line overrides of a recipe: dotted `key=value`, and seeds as `0-4` or `0,2,5`."""

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
"""Maps the content of a recipe's section to the settings class that validates it."""
Kinds = Mapping[str, Kind]
"""{dotted key: Kind} of the sections whose settings class depends on their content."""


def apply_overrides(content: dict[str, Any], overrides: list[str] | None, kinds: Kinds | None = None) -> dict[str, Any]:
    """Set dotted `key=value` overrides in nested content, in place, and return it; ValueError for any other text.

    kinds: sections where an override may choose another settings class. Keys that only the former class has are then
    removed.
    """
    before = copy.deepcopy(content)
    for override in overrides or []:
        _apply(content, override)
    for key, kind in (kinds or {}).items():
        _remove_foreign_keys(content, before, key, overrides or [], kind)
    return content


def parse_seeds(text: str) -> list[int]:
    """Sorted, distinct seeds from `0-4` or `0,2,5`; ValueError for any other text, and for more than MOST_SEEDS."""
    seeds: set[int] = set()
    for piece in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", piece, re.ASCII)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise ValueError(f"--seeds: {shown(text)} is neither a range like 0-4 nor a list like 0,2,5")
        interval = range(int(match[1]), int(match[2] or match[1]) + 1)
        if len(seeds) + len(interval) > MOST_SEEDS:
            raise ValueError(f"--seeds: {shown(text)} are more than {MOST_SEEDS:,} seeds")
        seeds.update(interval)
    return sorted(seeds)


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one dotted `key=value` in nested content."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ValueError(f"{shown(override)} is not an override; write key=value, for example posttrain.algorithm=star")
    try:
        value = yaml_text.parse(text)
    except ValueError as error:
        raise ValueError(f"{key}: {shown(text)} is not a YAML value ({error})") from error
    *parents, last = key.split(".")
    if len(parents) >= yaml_text.DEPTH:
        raise ValueError(f"{shown(key)}: no recipe has keys that deep")
    node = content
    for parent in parents:
        child = node.get(parent)
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise ValueError(f"{key}: {parent} has no keys")
        node = child
    node[last] = value


def _remove_foreign_keys(
    content: dict[str, Any], before: dict[str, Any], key: str, overrides: list[str], kind: Kind
) -> None:
    """Remove a section's keys that its new class lacks or fixes; typed keys stay, and validation reports them."""
    section, old_section = _value_at(content, key), _value_at(before, key)
    typed = {override.partition("=")[0] for override in overrides}
    if key in typed or not isinstance(section, dict) or not isinstance(old_section, dict):
        return
    try:
        new_class, old_class = kind(section), kind(old_section)
    except ValueError:
        return  # an unknown name: validation reports it
    if new_class is not old_class:
        settable = new_class.model_fields.keys() - getattr(new_class, "FIXED", frozenset())
        for name in old_section.keys() - settable:
            if f"{key}.{name}" not in typed:
                del section[name]


def _value_at(content: dict[str, Any], key: str) -> Any:
    """The value at a dotted key, None if there is none."""
    node: Any = content
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node
