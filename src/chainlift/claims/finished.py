"""Finished runs, the grids of recipes that they are of, and what they measured, seed by seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainlift.runs.store import RunFolder, read_rows
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe


@dataclass(frozen=True)
class Finished:
    """A finished run: its recipe, its summary and where the rest of its record is."""

    recipe: Recipe
    summary: dict[str, Any]
    folder: Path

    def evaluations(self, stage: str) -> list[dict[str, Any]]:
        """The evaluation rows of a stage, in order."""
        rows = read_rows(self.folder / "metrics.jsonl")
        return [row for row in rows if row["stage"] == stage and row["kind"] == "evaluation"]


def finished(recipe: Recipe, out: Path) -> Finished | None:
    """The finished run of a recipe under `out`, None if it is not done."""
    folder = RunFolder(out / recipe.run_id)
    return Finished(recipe, folder.summary(), folder.path) if folder.done else None


def cross(source: str, settings: Mapping[str, Sequence[object]], seeds: Sequence[int], *fixed: str) -> list[Recipe]:
    """The recipes of every combination of `settings` (dotted key: values), for every seed; `fixed` are overrides of
    all. Seeds vary slowest, so that a first seed is whole before the second begins.
    """
    keys = list(settings)
    return [
        recipes.load(source, [*fixed, *(f"{key}={value}" for key, value in zip(keys, values, strict=True))], seed=seed)
        for seed in seeds
        for values in itertools.product(*settings.values())
    ]


def by_seed(runs: Sequence[Finished], value: Callable[[Finished], float], *keys: str) -> dict[Any, tuple[float, ...]]:
    """{setting: values, one a seed} of runs; the setting is the value of a dotted key, or a tuple of several keys'."""
    values: dict[Any, dict[int, float]] = {}
    for run in runs:
        values.setdefault(setting_of(run.recipe, keys), {})[run.recipe.seed] = value(run)
    return {setting: tuple(seeds[seed] for seed in sorted(seeds)) for setting, seeds in sorted(values.items())}


def setting_of(recipe: Recipe, keys: Sequence[str]) -> Any:
    """The value of a dotted key, or a tuple of several keys'."""
    values = tuple(recipe.setting(key) for key in keys)
    return values[0] if len(keys) == 1 else values


def after(stage: str, key: str) -> Callable[[Finished], float]:
    """A function of a run: what its summary reports of a stage; not a number where that was not defined."""

    def value(run: Finished) -> float:
        measured = run.summary[stage][key]
        return math.nan if measured is None else float(measured)

    return value
