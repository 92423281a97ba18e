"""Progress of a sweep's runs, and the expected cost of those that are not done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import stage_views
from chainlift.runs.store import RunFolder
from chainlift.stages import sharing
from chainlift.stages.planning import cost
from chainlift.stages.planning.cost import readable_seconds
from chainlift.stages.recipe import Recipe
from chainlift.sweep.waiting import counted
from chainlift.visible import one_line

SLOW_SECONDS = 1.0  # timings that take longer are reported to the user
State = Literal["done", "failed", "begun", "missing", "damaged"]


@dataclass(frozen=True)
class Row:
    """One run of a sweep."""

    run_id: str
    state: State
    settings: dict[str, str]
    """{key that varies in the sweep: this run's value}."""
    note: str = ""
    """Greedy accuracy and length at the end, the last line of a failure, or what is damaged."""
    shared_stage: str | None = None
    """The run_id of unfinished first stages, shared with other runs, that this run waits for."""


def rows(recipes: Sequence[Recipe], out: Path) -> list[Row]:
    """A row for each recipe, in order, with the settings in which the recipes differ."""
    settings = [_as_overrides(_flat(recipe.model_dump(mode="json"))) for recipe in recipes]
    keys = list(dict.fromkeys(key for values in settings for key in values))
    vary = [key for key in keys if key != "title" and len({values.get(key) for values in settings}) > 1]
    rows = []
    for recipe, values in zip(recipes, settings, strict=True):
        state, note = _state(RunFolder(out / recipe.run_id))
        shared = _unfinished_shared_stages(recipe, out) if state == "missing" else None
        if shared is not None:
            note = f"waits for its first stages, {shared}"
        rows.append(Row(recipe.run_id, state, {key: values.get(key, "") for key in vary}, note, shared))
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """Rows as aligned lines of text, with a heading and a line of totals."""
    if not rows:
        return ["no runs"]
    keys = list(rows[0].settings)
    cells = [["state", *(key.rpartition(".")[2] for key in keys), "run", ""]]
    cells += [[row.state, *(row.settings[key] for key in keys), row.run_id, row.note] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in cells
    ]
    counts = Counter(row.state for row in rows)
    states = ("done", "failed", "begun", "missing", *(("damaged",) if counts["damaged"] else ()))
    total = ", ".join(f"{counts[state]} {state}" for state in states)
    waiting = [row for row in rows if row.shared_stage is not None]
    if waiting:
        num_stages = len({row.shared_stage for row in waiting})
        total += f"; begun: {counted(num_stages, 'shared stage')}, for which {len(waiting)} of them wait"
    return [*lines, total]


def costs(recipes: Sequence[Recipe], out: Path, reporter: Reporter, *, threads: int) -> dict[str, float]:
    """{run_id: expected seconds} of the runs that are not done, on one worker of this machine with so many threads.

    A shared stage counts with the first run that needs it. Expected seconds come from a few timed updates of each size
    of recipe; a line reports a slow timing.
    """
    threads_before = torch.get_num_threads()
    try:
        seconds: dict[str, float] = {}
        counted_prefixes: set[str] = set()
        for number, recipe in enumerate(recipes, start=1):
            if recipe.run_id in seconds or RunFolder(out / recipe.run_id).done:
                continue
            torch.set_num_threads(recipe.threads or threads)
            started = time.monotonic()
            expected = cost.estimate(recipe)
            if time.monotonic() - started > SLOW_SECONDS:
                reporter.say(f"  {number}/{len(recipes)}  timed a few updates of {recipe.run_id}")
            prefix_of = {stage: prefix for prefix in recipe.prefixes for stage in prefix.stages}
            free = {
                stage
                for stage, prefix in prefix_of.items()
                if prefix.run_id in counted_prefixes or sharing.is_trained(prefix, out)
            }
            seconds[recipe.run_id] = expected.without(free)
            counted_prefixes.update(prefix.run_id for prefix in recipe.prefixes)
        return seconds
    finally:
        torch.set_num_threads(threads_before)


def cost_lines(expected: Mapping[str, float], out: Path) -> list[str]:
    """One line for each run: its folder and its expected time."""
    return [f"{out / run_id}  about {readable_seconds(seconds)}" for run_id, seconds in expected.items()]


def claim_cost_lines(by_claim: Mapping[str, Sequence[Recipe]], expected: Mapping[str, float], out: Path) -> list[str]:
    """A line for each claim, followed by its runs in `expected` that no claim before it has listed."""
    lines, listed = [], set[str]()
    for name, recipes in by_claim.items():
        to_do = [recipe.run_id for recipe in recipes if recipe.run_id in expected]
        new = {run_id: expected[run_id] for run_id in to_do if run_id not in listed}
        shared = f", {len(to_do) - len(new)} of them listed above" if len(new) < len(to_do) else ""
        about = readable_seconds(sum(new.values()))
        lines.append(f"{name}: {len(to_do)} of {len(recipes)} runs to do{shared}, about {about} on one worker")
        lines += cost_lines(new, out)
        listed.update(new)
    return lines


def total_line(expected: Mapping[str, float], *, of: int, workers: int | None) -> str:
    """One line: how many of the runs remain to be done, and how long they take on this machine.

    workers: the most runs at once; None where a cluster decides.
    """
    total = sum(expected.values())
    text = f"{len(expected)} of {of} runs to do, about {readable_seconds(total)} on one worker"
    at_once = min(workers or 1, len(expected))
    return (
        text
        if at_once < 2
        else f"{text}, at least {readable_seconds(max(total / at_once, *expected.values()))} on {at_once}"
    )


def _state(folder: RunFolder) -> tuple[State, str]:
    """(state, note) of a run folder, as `Row` has them."""
    if folder.done:
        try:
            summary = folder.summary()
        except ValueError as error:
            return "damaged", one_line(str(error))
        last = summary[[stage.name for stage in stage_views.of_summary(summary) if not stage.is_baseline][-1]]
        return "done", f"greedy accuracy {last['greedy_accuracy']:.3f}, length {last['greedy_length_median']:g}"
    if folder.failure is not None:
        return "failed", folder.failure_line
    return ("begun" if (folder.path / "recipe.yaml").exists() else "missing"), ""


def _unfinished_shared_stages(recipe: Recipe, out: Path) -> str | None:
    """The run_id of a recipe's shared first stages that have begun and are not done; None if there are none."""
    for prefix in reversed(recipe.prefixes):
        folder = RunFolder(out / prefix.run_id)
        if (folder.path / "recipe.yaml").exists() and not folder.done and folder.failure is None:
            return prefix.run_id
    return None


def _flat(content: dict[str, Any], above: str = "") -> dict[str, str]:
    """{dotted key: value as text} of nested keys and values."""
    flat = {}
    for key, value in content.items():
        name = f"{above}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: str(value)}
    return flat


def _as_overrides(flat: dict[str, str]) -> dict[str, str]:
    """The settings under the keys that overrides use: `pretrain.lr` for `stages.pretrain.lr`."""
    return {key.removeprefix("stages."): value for key, value in flat.items()}
