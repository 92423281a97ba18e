"""The recipes of a grid such as `posttrain.lr=1e-4,3e-4 task.d=8..12`, crossed or zipped."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence

from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe

MAX_RANGE = 10_000
MAX_RUNS = 100_000


def parse(text: str) -> tuple[str, list[str]]:
    """Split `key=a,b,c`, `key=1..5` or `key=value` into (key, values); commas inside brackets do not separate.

    ValueError in one line if the key or a value is missing, or if a range runs backwards.
    """
    key, equals, right_side = text.partition("=")
    if not equals or not key:
        raise ValueError(f"{text!r} is not an axis of a grid; write key=a,b,c or key=1..5")
    values = _range(key, right_side) or _split(right_side)
    if "" in values:
        raise ValueError(f"{key}: the grid has no value in {right_side!r}; write {key}=a,b,c or {key}=1..5")
    return key, values


def expand(
    source: str, texts: Sequence[str], seeds: Sequence[int], *, zipped: bool = False, trust: bool = False
) -> list[Recipe]:
    """The distinct recipes of a grid; the seed varies slowest.

    zipped: axes with more than one value vary together, like the columns of a table; otherwise the grid has every
    combination. trust: import code that only the recipe's file names. ValueError in one line names the key that is
    wrong, or the lengths of zipped axes that differ.
    """

    def load(overrides: list[str], seed: int) -> Recipe:
        return recipes.load(source, overrides, seed=seed, trust=trust)

    return combine([parse(text) for text in texts], seeds, load, zipped=zipped)


def combine(
    axes: Sequence[tuple[str, list[str]]],
    seeds: Sequence[int],
    load: Callable[[list[str], int], Recipe],
    *,
    zipped: bool = False,
) -> list[Recipe]:
    """The distinct recipes that `load(overrides, seed)` returns over axes (key, values) and seeds; see `expand`."""
    keys = [key for key, _ in axes]
    if "seed" in keys:
        raise ValueError("seed is not an axis of a grid: give the seeds by --seeds, for example --seeds 0-4")
    repeated = [key for key in keys if keys.count(key) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]} is given twice; put all of its values into one axis, {repeated[0]}=a,b,c")
    lengths = [1, *(len(values) for _, values in axes)]
    num_runs = len(seeds) * (max(lengths) if zipped else math.prod(lengths))
    if num_runs > MAX_RUNS:
        raise ValueError(f"the grid of {', '.join(keys)} has {num_runs:,} runs; one sweep has at most {MAX_RUNS:,}")
    by_id = {}
    for seed in seeds:
        for values in _rows(axes, zipped=zipped):
            overrides = [f"{key}={value}" for key, value in zip(keys, values, strict=True)]
            recipe = load(overrides, seed)
            by_id[recipe.run_id] = recipe
    return list(by_id.values())


def _rows(axes: Sequence[tuple[str, list[str]]], *, zipped: bool) -> list[tuple[str, ...]]:
    """The settings of each run: one value of every axis."""
    if not zipped:
        return list(itertools.product(*(values for _, values in axes)))
    lengths = {key: len(values) for key, values in axes if len(values) > 1}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise ValueError(f"--zip needs axes of one length: {counts}")
    num_rows = max(lengths.values(), default=1)
    return [tuple(values[row] if len(values) > 1 else values[0] for _, values in axes) for row in range(num_rows)]


def _range(key: str, text: str) -> list[str]:
    """The integers from a to b of the text `a..b`; [] for another text."""
    match = re.fullmatch(r"(-?\d{1,18})\.\.(-?\d{1,18})", text.strip(), re.ASCII)
    if match is None:
        return []
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + MAX_RANGE:
        raise ValueError(f"{key}: {text} is not a range; write it upwards, with at most {MAX_RANGE} numbers")
    return [str(number) for number in range(first, last + 1)]


def _split(text: str) -> list[str]:
    """The pieces between the commas outside brackets."""
    pieces, depth, piece = [], 0, ""
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth == 0:
            pieces.append(piece)
            piece = ""
        else:
            piece += character
    return [piece.strip() for piece in (*pieces, piece)]
