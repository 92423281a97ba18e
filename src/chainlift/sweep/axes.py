"""From a grid like `posttrain.lr=1e-4,3e-4 task.d=8..12`, crossed or zipped, to recipes."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence

from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe

LONGEST_RANGE = 10_000
MOST_CELLS = 100_000


def parse(text: str) -> tuple[str, list[str]]:
    """(key, values) of `key=a,b,c`, `key=1..5` or `key=value`; commas inside brackets do not separate.

    ValueError in one line for no key, no value, or a range that runs backwards.
    """
    key, equals, values = text.partition("=")
    if not equals or not key:
        raise ValueError(f"{text!r} is no axis of a grid; write key=a,b,c or key=1..5")
    found = _range(key, values) or _split(values)
    if not found or "" in found:
        raise ValueError(f"{key}: the grid has no value in {values!r}; write {key}=a,b,c or {key}=1..5")
    return key, found


def expand(
    source: str, texts: Sequence[str], seeds: Sequence[int], *, zipped: bool = False, trust: bool = False
) -> list[Recipe]:
    """The recipes of a grid, seeds slowest, without doubles.

    zipped: the axes of more than one value go side by side, as columns of a table do, instead of every combination.
    trust: follow references to code that only the file names.
    ValueError in one line that names the key, also where zipped axes differ in length.
    """

    def load(overrides: list[str], seed: int) -> Recipe:
        return recipes.load(source, overrides, seed=seed, trust=trust)

    return combined([parse(text) for text in texts], seeds, load, zipped=zipped)


def combined(
    axes: Sequence[tuple[str, list[str]]],
    seeds: Sequence[int],
    load: Callable[[list[str], int], Recipe],
    *,
    zipped: bool = False,
) -> list[Recipe]:
    """The recipes that `load` makes of a grid's overrides and seeds: of axes (key, values), as `expand` says."""
    keys = [key for key, _ in axes]
    if "seed" in keys:
        raise ValueError("seed is no axis of a grid: give the seeds by --seeds, for example --seeds 0-4")
    doubled = [key for key in keys if keys.count(key) > 1]
    if doubled:
        raise ValueError(f"{doubled[0]} is given twice; put all of its values into one axis, {doubled[0]}=a,b,c")
    lengths = [1, *(len(values) for _, values in axes)]
    cells = len(seeds) * (max(lengths) if zipped else math.prod(lengths))
    if cells > MOST_CELLS:
        raise ValueError(f"the grid of {', '.join(keys)} has {cells:,} runs; one sweep has at most {MOST_CELLS:,}")
    found = {}
    for seed in seeds:
        for values in _rows(axes, zipped=zipped):
            overrides = [f"{key}={value}" for key, value in zip(keys, values, strict=True)]
            one = load(overrides, seed)
            found[one.run_id] = one
    return list(found.values())


def _rows(axes: Sequence[tuple[str, list[str]]], *, zipped: bool) -> list[tuple[str, ...]]:
    """One value of each axis a row."""
    if not zipped:
        return list(itertools.product(*(values for _, values in axes)))
    lengths = {key: len(values) for key, values in axes if len(values) > 1}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise ValueError(f"--zip needs axes of one length: {told}")
    rows = max(lengths.values(), default=1)
    return [tuple(values[row] if len(values) > 1 else values[0] for _, values in axes) for row in range(rows)]


def _range(key: str, text: str) -> list[str]:
    """The integers of `a..b`, both included; [] where it is none."""
    match = re.fullmatch(r"(-?\d{1,18})\.\.(-?\d{1,18})", text.strip(), re.ASCII)
    if match is None:
        return []
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + LONGEST_RANGE:
        raise ValueError(f"{key}: {text} is no range; write it upwards, with at most {LONGEST_RANGE} numbers")
    return [str(number) for number in range(first, last + 1)]


def _split(text: str) -> list[str]:
    """The pieces between commas that stand in no bracket."""
    pieces, depth, piece = [], 0, ""
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth == 0:
            pieces.append(piece)
            piece = ""
        else:
            piece += character
    return [one.strip() for one in (*pieces, piece)]
