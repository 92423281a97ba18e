"""Many runs of one recipe: the cross product of settings and seeds; what is done already is not done again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainlift import recipe as recipes
from chainlift.recipe import Recipe
from chainlift.report.terminal import Reporter
from chainlift.runs.store import RunFolder, read_rows
from chainlift.stages import pipeline


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


def run_all(chosen: Sequence[Recipe], out: Path, reporter: Reporter) -> list[Finished]:
    """The finished runs of recipes, in order; each is run unless its folder under `out` holds it already.

    The run that goes on shows its bar, or a line now and then. Pages and figures are not made for each of hundreds of
    runs; `chainlift report` makes them of any.
    """
    missing = [one.run_id for one in chosen if not RunFolder(out / one.run_id).done]
    if missing:
        reporter.say(f"{len(chosen) - len(missing)} of {len(chosen)} runs are done already")
    found: list[Finished] = []
    within = Reporter(brief=True)
    started = time.monotonic()
    for one in chosen:
        result = pipeline.run(one, out, within, with_page=False)
        found.append(Finished(one, result.summary, result.folder))
        if one.run_id in missing:
            number = missing.index(one.run_id) + 1
            remaining = (time.monotonic() - started) / number * (len(missing) - number)
            reporter.say(f"  {number}/{len(missing)}  {one.run_id}  about {remaining:.0f} s left")
    return found
