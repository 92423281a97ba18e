"""What runs would cost before they begin, and how far they are once they have."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import course
from chainlift.runs.store import RunFolder
from chainlift.stages import sharing
from chainlift.stages.planning import cost
from chainlift.stages.planning.cost import told
from chainlift.stages.recipe import Recipe
from chainlift.sweep.waiting import counted
from chainlift.visible import one_line

NOTICED = 1.0  # seconds of timing that a user would notice
State = Literal["done", "failed", "begun", "missing", "damaged"]


@dataclass(frozen=True)
class Row:
    """One run of a sweep."""

    run_id: str
    state: State
    settings: dict[str, str]
    """The keys that vary in the sweep, with the run's own values."""
    note: str = ""
    """Greedy accuracy and length at the end, the last line of a failure, or what is damaged."""
    shared_stage: str | None = None
    """The run_id of the first stages, shared with others, that are under way and that this run waits for."""


def rows(chosen: Sequence[Recipe], out: Path) -> list[Row]:
    """A row for each run of a sweep, in order, with the settings in which the runs differ."""
    flat = [_written(_flat(one.model_dump(mode="json"))) for one in chosen]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    vary = [key for key in keys if key != "title" and len({one.get(key) for one in flat}) > 1]
    found = []
    for one, values in zip(chosen, flat, strict=True):
        state, note = _state(RunFolder(out / one.run_id))
        shared = _shared(one, out) if state == "missing" else None
        if shared is not None:
            note = f"waits for what it begins with, {shared}"
        found.append(Row(one.run_id, state, {key: values.get(key, "") for key in vary}, note, shared))
    return found


def table(found: Sequence[Row]) -> list[str]:
    """The rows as lines of text, with a line of totals."""
    if not found:
        return ["no runs"]
    keys = list(found[0].settings)
    cells = [["state", *(key.rpartition(".")[2] for key in keys), "run", ""]]
    cells += [[row.state, *(row.settings[key] for key in keys), row.run_id, row.note] for row in found]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in cells
    ]
    counts = Counter(row.state for row in found)
    states = ("done", "failed", "begun", "missing", *(("damaged",) if counts["damaged"] else ()))
    total = ", ".join(f"{counts[state]} {state}" for state in states)
    behind = [row for row in found if row.shared_stage is not None]
    if behind:
        stages = len({row.shared_stage for row in behind})
        total += f"; begun: {counted(stages, 'shared stage')}, for which {len(behind)} of them wait"
    return [*lines, total]


def costs(chosen: Sequence[Recipe], out: Path, reporter: Reporter, *, threads: int) -> dict[str, float]:
    """{run_id: expected seconds} of the runs that are not done, on one worker of this machine with so many threads.

    What several runs share is counted with the first of them. Times are those of a few timed updates of each
    size of recipe; slow steps are announced.
    """
    before = torch.get_num_threads()
    try:
        found: dict[str, float] = {}
        paid: set[str] = set()
        for number, one in enumerate(chosen, start=1):
            if one.run_id in found or RunFolder(out / one.run_id).done:
                continue
            torch.set_num_threads(one.threads or threads)
            started = time.monotonic()
            expected = cost.estimate(one)
            if time.monotonic() - started > NOTICED:
                reporter.say(f"  {number}/{len(chosen)}  timed a few updates of {one.run_id}")
            shared = {name: prefix for prefix in one.prefixes for name in prefix.stages}
            there = {name for name, prefix in shared.items() if prefix.run_id in paid or sharing.is_there(prefix, out)}
            found[one.run_id] = expected.without(there)
            paid.update(prefix.run_id for prefix in one.prefixes)
        return found
    finally:
        torch.set_num_threads(before)


def cost_lines(expected: Mapping[str, float], out: Path) -> list[str]:
    """A line for each run."""
    return [f"{out / run_id}  about {told(seconds)}" for run_id, seconds in expected.items()]


def claim_cost_lines(wanted: Mapping[str, Sequence[Recipe]], expected: Mapping[str, float], out: Path) -> list[str]:
    """For each claim a line, then one for each run of `expected` that it needs and no claim before it has listed."""
    lines, listed = [], set[str]()
    for name, recipes in wanted.items():
        own = [one.run_id for one in recipes if one.run_id in expected]
        new = {run_id: expected[run_id] for run_id in own if run_id not in listed}
        shared = f", {len(own) - len(new)} of them listed above" if len(new) < len(own) else ""
        about = told(sum(new.values()))
        lines.append(f"{name}: {len(own)} of {len(recipes)} runs to do{shared}, about {about} on one worker")
        lines += cost_lines(new, out)
        listed.update(new)
    return lines


def total_line(expected: Mapping[str, float], *, of: int, workers: int | None) -> str:
    """How many of the runs remain to be done, and how long that takes here.

    workers: runs at once, None where a cluster decides.
    """
    total = sum(expected.values())
    text = f"{len(expected)} of {of} runs to do, about {told(total)} on one worker"
    at_once = min(workers or 1, len(expected))
    return text if at_once < 2 else f"{text}, at least {told(max(total / at_once, *expected.values()))} on {at_once}"


def _state(folder: RunFolder) -> tuple[State, str]:
    if folder.done:
        try:
            summary = folder.summary()
        except ValueError as error:
            return "damaged", one_line(str(error))
        last = summary[[stage.name for stage in course.of_summary(summary) if not stage.is_baseline][-1]]
        return "done", f"greedy accuracy {last['greedy_accuracy']:.3f}, length {last['greedy_length_median']:g}"
    if folder.failure is not None:
        return "failed", folder.failure_line
    return ("begun" if (folder.path / "recipe.yaml").exists() else "missing"), ""


def _shared(one: Recipe, out: Path) -> str | None:
    """The run_id of the shared first stages of a recipe, if they are begun and not done."""
    for prefix in reversed(one.prefixes):
        folder = RunFolder(out / prefix.run_id)
        if (folder.path / "recipe.yaml").exists() and not folder.done and folder.failure is None:
            return prefix.run_id
    return None


def _flat(content: dict[str, Any], above: str = "") -> dict[str, str]:
    """{dotted key: value in text} of nested keys and values."""
    found = {}
    for key, value in content.items():
        name = f"{above}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: str(value)}
    return found


def _written(flat: dict[str, str]) -> dict[str, str]:
    """The keys as overrides have them, which begin with a stage's name."""
    return {key.removeprefix("stages."): value for key, value in flat.items()}
