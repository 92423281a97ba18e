"""What the page of results holds: claims and runs of a folder, read one by one; damaged ones are listed, not raised."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from chainlift import reading
from chainlift.measure.finding import Finding
from chainlift.report import claim_outcome
from chainlift.report.about import about, chance
from chainlift.report.documents.results_document import seed_range
from chainlift.report.figures import interactive, run_pictures
from chainlift.report.figures.means import numbers, shown
from chainlift.report.figures.picture import Picture, plain
from chainlift.report.pages.run_page import samples, table
from chainlift.report.record import Record, read
from chainlift.report.sentence import headline, so_far
from chainlift.report.terminal.claim_table import cells
from chainlift.runs.course import SHARED
from chainlift.runs.store import RunFolder
from chainlift.visible import name_of, one_line

SHOWN = 2  # sampled responses of a run on either side of RL
DIGITS = 5  # of a measured number on the page: more than any interval asks for
MEASURED = ("greedy_accuracy", "greedy_length_median", "sampled_accuracy", "sampled_long_share")
# What a folder with parsable files that do not fit together raises somewhere on the way.
UNREADABLE = (ValueError, OSError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)


@dataclass(frozen=True)
class ClaimView:
    """A claim as the page shows it."""

    name: str
    statement: str
    verdict: str
    """holds, fails in .. lines, measured; or why the claim's file cannot be read."""
    state: str
    """holds, fails, measured or damaged."""
    seeds: str = ""
    num_runs: int = 0
    quick: bool = False
    quantities: list[dict[str, Any]] = field(default_factory=list)
    """{name, rows}; a row is a finding: {setting, note, cells, holds}."""
    pictures: list[dict[str, Any]] = field(default_factory=list)
    """{title, note, figure: what interactive.draw makes, numbers: rows of cells} of each figure."""


@dataclass(frozen=True)
class RunView:
    """A run as the page shows it: a row of the table, and what opens behind it."""

    run_id: str
    status: str
    """done, failed, unfinished or damaged."""
    reason: str = ""
    """Why it is failed or damaged."""
    row: dict[str, Any] = field(default_factory=dict)
    """recipe, seed, p_cot, d, modulus, algorithm, reward, seconds, and of each stage the MEASURED ones."""
    title: str = ""
    about: str = ""
    headline: str = ""
    table: list[dict[str, Any]] = field(default_factory=list)
    recipe_text: str = ""
    figures: list[dict[str, Any]] = field(default_factory=list)
    """What interactive.draw makes of the lift, with fewer digits; empty before the first evaluation."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """Those of the run's own page, fewer of them."""
    is_text: bool = False
    report: str | None = None
    """The run's own page, seen from the folder of runs."""

    @property
    def is_shared(self) -> bool:
        """A stage 1 by itself, which runs begin with."""
        return self.run_id.startswith(SHARED)


def run_folders(folder: Path) -> list[Path]:
    """The run folders that a folder holds, by name."""
    return sorted(file.parent for file in folder.glob("*/recipe.yaml"))


def claims(folder: Path) -> list[ClaimView]:
    """The claims that `chainlift reproduce` left in folder/claims, by name, then those at their quick sizes."""
    files = [*sorted((folder / "claims").glob("*.json")), *sorted((folder / "claims" / "quick").glob("*.json"))]
    return [claim(file) for file in files]


def claim(file: Path) -> ClaimView:
    """One claim; a damaged file gives one that says so."""
    try:
        outcome = claim_outcome.read(file)
        quantities = groupby(outcome.findings, key=lambda line: line.quantity)
        return ClaimView(
            name=f"quick/{file.stem}" if outcome.quick else file.stem,
            statement=outcome.statement,
            verdict=outcome.verdict,
            state=outcome.verdict.split()[0],
            seeds=seed_range(outcome.seeds),
            num_runs=outcome.runs,
            quick=outcome.quick,
            quantities=[{"name": name, "rows": [_row(line) for line in lines]} for name, lines in quantities],
            pictures=[_picture(picture) for picture in outcome.pictures],
        )
    except UNREADABLE as error:
        return ClaimView(file.stem, "", f"cannot be read: {_told(error)}", "damaged")


def _picture(picture: Picture) -> dict[str, Any]:
    """A figure, and the numbers drawn as a table, for those who cannot see or point."""
    rows = [
        (panel, line, at, shown(m.mean), "" if m.low is None else f"{shown(m.low)} to {shown(m.high)}", m.n)
        for panel, line, at, m in numbers(picture)
    ]
    figure, note = plain(interactive.draw(picture), DIGITS), interactive.caption(picture)
    return {"title": picture.title, "note": note, "figure": figure, "numbers": rows}


def _row(line: Finding) -> dict[str, Any]:
    return {"setting": line.setting, "note": line.note, "cells": cells(line)[:-1], "holds": line.holds}


def run(folder: Path) -> RunView:
    """One run; a damaged folder gives one that says so."""
    own_page = f"{name_of(folder)}/report.html" if (folder / "report.html").exists() else None
    try:
        record = read(folder)
        status, reason = _status(RunFolder(folder))
        return RunView(
            run_id=name_of(folder),
            status=status,
            reason=reason,
            row=_columns(record),
            title=str(record.recipe.get("title") or record.recipe["name"]),
            about=about(record.recipe),
            headline=headline(record.summary, chance(record.recipe, record.summary))
            if record.summary
            else so_far(record),
            table=_table(record.summary) if record.summary else [],
            recipe_text=reading.text(folder / "recipe.yaml"),
            figures=[plain(interactive.draw(run_pictures.lift(record)), DIGITS)] if record.measured_stages else [],
            samples=samples(record, ("sampled",), SHOWN),
            is_text=record.is_text,
            report=own_page,
        )
    except UNREADABLE as error:
        return RunView(name_of(folder), "damaged", _told(error, folder), report=own_page)


def _status(folder: RunFolder) -> tuple[str, str]:
    """(done, failed or unfinished; the last line of what made it fail)."""
    if folder.done:
        return "done", ""
    return ("unfinished", "") if folder.failure is None else ("failed", folder.failure_line)


def _columns(record: Record) -> dict[str, Any]:
    """The row of the table; None where a run has no such thing."""
    recipe, summary = record.recipe, record.summary or {}
    task, stages = recipe.get("task", {}), record.stages
    rl = next((stage.settings for stage in stages if "algorithm" in stage.settings), {})
    main = [stage.name for stage in stages if not stage.is_baseline]
    ends = {"first": main[0], "last": main[-1] if len(main) > 1 else ""}
    measured = {f"{end}_{key}": summary.get(name, {}).get(key) for end, name in ends.items() for key in MEASURED}
    return {
        "recipe": str(recipe["name"]),
        "seed": recipe.get("seed"),
        "p_cot": recipe["mixture"].get("p_cot"),
        "d": task.get("d", task.get("n")),
        "modulus": task.get("modulus"),
        "algorithm": rl.get("algorithm"),
        "reward": rl.get("reward"),
        "seconds": sum(summary[stage.name]["seconds"] for stage in stages) if summary else None,
        **measured,
    }


def _table(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The before/after table; ValueError where it holds anything but numbers, which the page could not show."""
    found = table(summary)
    for row in found:
        for cell in row["cells"]:
            for number in (cell["value"], cell["theory"], *(cell["interval"] or ())):
                if not isinstance(number, int | float | None):
                    raise ValueError(f"summary.json is damaged: {row['name']} is {number!r}")
    return found


def _told(error: Exception, folder: Path | None = None) -> str:
    """An error in one line, without the path that the reader knows."""
    if isinstance(error, ValueError):
        text = str(error).replace(f"{folder}/", "") if folder else str(error)
        return one_line(text)
    if isinstance(error, OSError):
        return str(error.strerror or error)
    return f"its files do not fit together ({type(error).__name__}: {one_line(str(error))})"
