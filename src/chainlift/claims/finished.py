"""Finished runs: their recipes, their measurements, and values by setting and seed."""

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
    """A finished run: its recipe, its summary and its folder."""

    recipe: Recipe
    summary: dict[str, Any]
    folder: Path

    def evaluations(self, stage: str) -> list[dict[str, Any]]:
        """The evaluation rows of a stage, in order."""
        rows = read_rows(self.folder / "metrics.jsonl")
        return [row for row in rows if row["stage"] == stage and row["kind"] == "evaluation"]


def finished(recipe: Recipe, out: Path) -> Finished | None:
    """The finished run of a recipe under `out`; None if it is not done."""
    folder = RunFolder(out / recipe.run_id)
    return Finished(recipe, folder.summary(), folder.path) if folder.done else None


def cross(source: str, settings: Mapping[str, Sequence[object]], seeds: Sequence[int], *fixed: str) -> list[Recipe]:
    """The recipes of every combination of `settings` {dotted key: values} and seeds, with `fixed` overrides for all.

    The seed varies slowest, so that all runs of one seed come before those of the next.
    """
    keys = list(settings)
    return [
        recipes.load(source, [*fixed, *(f"{key}={value}" for key, value in zip(keys, values, strict=True))], seed=seed)
        for seed in seeds
        for values in itertools.product(*settings.values())
    ]


def by_seed(runs: Sequence[Finished], value: Callable[[Finished], float], *keys: str) -> dict[Any, tuple[float, ...]]:
    """{setting: one value for each seed} of runs, sorted; the setting is that of `setting_of`."""
    values: dict[Any, dict[int, float]] = {}
    for run in runs:
        values.setdefault(setting_of(run.recipe, keys), {})[run.recipe.seed] = value(run)
    return {setting: tuple(seeds[seed] for seed in sorted(seeds)) for setting, seeds in sorted(values.items())}


def setting_of(recipe: Recipe, keys: Sequence[str]) -> Any:
    """A recipe's value of one dotted key, or the tuple of the values of several."""
    values = tuple(recipe.setting(key) for key in keys)
    return values[0] if len(keys) == 1 else values


def summary_value(stage: str, key: str) -> Callable[[Finished], float]:
    """A function that returns a run's measurement after a stage, from its summary; nan if it was undefined."""

    def value(run: Finished) -> float:
        measured = run.summary[stage][key]
        return math.nan if measured is None else float(measured)

    return value
