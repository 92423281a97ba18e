"""What a sweep would cost before it begins, and how far it is once it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chainlift.recipe import Recipe
from chainlift.runs.store import RunFolder
from chainlift.stages import cost
from chainlift.stages.cost import told

State = Literal["done", "failed", "begun", "missing"]


@dataclass(frozen=True)
class Row:
    """One run of a sweep."""

    run_id: str
    state: State
    settings: dict[str, str]
    """The keys that vary in the sweep, with the run's own values."""
    note: str = ""
    """Greedy accuracy and length at the end, or the last line of a failure."""


def rows(chosen: Sequence[Recipe], out: Path) -> list[Row]:
    """A row for each run of a sweep, in order, with the settings in which the runs differ."""
    flat = [_flat(one.model_dump(mode="json")) for one in chosen]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    vary = [key for key in keys if key != "title" and len({one.get(key) for one in flat}) > 1]
    found = []
    for one, values in zip(chosen, flat, strict=True):
        state, note = _state(RunFolder(out / one.run_id))
        found.append(Row(one.run_id, state, {key: values.get(key, "") for key in vary}, note))
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
    return [*lines, ", ".join(f"{counts[state]} {state}" for state in ("done", "failed", "begun", "missing"))]


def costs(chosen: Sequence[Recipe], out: Path) -> list[str]:
    """A line for each run that is not done, with its expected time on one worker of this machine, and their sum.

    A stage 1 that several runs share is counted with the first of them. Times are those of a few timed updates.
    """
    lines, paid, total = [], set(), 0.0
    for one in chosen:
        if RunFolder(out / one.run_id).done:
            continue
        expected, stage_1 = cost.estimate(one), one.stage_1.run_id
        seconds = expected.seconds
        if stage_1 in paid or RunFolder(out / stage_1).done:
            seconds -= expected.stage_1
        paid.add(stage_1)
        total += seconds
        lines.append(f"{out / one.run_id}  about {told(seconds)}")
    return [*lines, f"{len(lines)} of {len(chosen)} runs to do, about {told(total)} on one worker"]


def _state(folder: RunFolder) -> tuple[State, str]:
    if folder.done:
        summary = folder.summary()
        last = next(summary[stage] for stage in ("posttrain", "pretrain") if stage in summary)
        return "done", f"greedy accuracy {last['greedy_accuracy']:.3f}, length {last['greedy_length_median']:g}"
    if folder.failure is not None:
        return "failed", folder.failure.splitlines()[-1]
    return ("begun" if (folder.path / "recipe.yaml").exists() else "missing"), ""


def _flat(content: dict[str, Any], above: str = "") -> dict[str, str]:
    """{dotted key: value in text} of nested keys and values."""
    found = {}
    for key, value in content.items():
        name = f"{above}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: str(value)}
    return found
