"""Content of the results page: the claims and runs of a folder; damaged ones are listed as such."""

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
from chainlift.runs.stage_views import SHARED
from chainlift.runs.store import RunFolder
from chainlift.visible import name_of, one_line

SHOWN = 2  # sampled responses of a run after each stage
DIGITS = 5  # of a measured number on the page, more than any interval resolves
MEASURED = ("greedy_accuracy", "greedy_length_median", "sampled_accuracy", "sampled_long_share")
# Errors that a folder with parsable but inconsistent files may raise.
UNREADABLE = (ValueError, OSError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)


@dataclass(frozen=True)
class ClaimView:
    """A claim as shown on the page."""

    name: str
    statement: str
    verdict: str
    """`holds`, `fails in .. lines`, `measured`, or why the claim's file cannot be read."""
    state: str
    """`holds`, `fails`, `measured` or `damaged`."""
    seeds: str = ""
    num_runs: int = 0
    quick: bool = False
    quantities: list[dict[str, Any]] = field(default_factory=list)
    """{name, rows} of each quantity; a row is a finding: {setting, note, cells, holds}."""
    pictures: list[dict[str, Any]] = field(default_factory=list)
    """{title, note, figure: from interactive.draw, numbers: rows of cells} of each figure."""


@dataclass(frozen=True)
class RunView:
    """A run as shown on the page: a row of the table, and the run's view."""

    run_id: str
    status: str
    """`done`, `failed`, `unfinished` or `damaged`."""
    reason: str = ""
    """Why it failed or is damaged."""
    row: dict[str, Any] = field(default_factory=dict)
    """recipe, seed, p_cot, d, modulus, algorithm, reward, seconds, and MEASURED of the first and the last stage."""
    title: str = ""
    about: str = ""
    headline: str = ""
    table: list[dict[str, Any]] = field(default_factory=list)
    recipe_text: str = ""
    figures: list[dict[str, Any]] = field(default_factory=list)
    """The figure `lift` from interactive.draw, with fewer digits; empty before the first evaluation."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """Some of the responses on the run's own page."""
    is_text: bool = False
    report: str | None = None
    """Path of the run's own page, relative to the folder of runs."""

    @property
    def is_shared(self) -> bool:
        """Whether the folder holds only first stages that several runs share."""
        return self.run_id.startswith(SHARED)


def run_folders(folder: Path) -> list[Path]:
    """The run folders inside a folder, sorted by name."""
    return sorted(file.parent for file in folder.glob("*/recipe.yaml"))


def claims(folder: Path) -> list[ClaimView]:
    """The claims in folder/claims, written by `chainlift reproduce`, sorted by name; then those at quick sizes."""
    files = [*sorted((folder / "claims").glob("*.json")), *sorted((folder / "claims" / "quick").glob("*.json"))]
    return [claim(file) for file in files]


def claim(file: Path) -> ClaimView:
    """Read one claim; a damaged file gives a view with the state `damaged`."""
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
        return ClaimView(file.stem, "", f"cannot be read: {_message(error)}", "damaged")


def _picture(picture: Picture) -> dict[str, Any]:
    """A figure, and its numbers as an accessible table."""
    rows = [
        (
            panel,
            line,
            place,
            shown(mean.mean),
            "" if mean.low is None else f"{shown(mean.low)} to {shown(mean.high)}",
            mean.n,
        )
        for panel, line, place, mean in numbers(picture)
    ]
    figure, note = plain(interactive.draw(picture), DIGITS), interactive.caption(picture)
    return {"title": picture.title, "note": note, "figure": figure, "numbers": rows}


def _row(line: Finding) -> dict[str, Any]:
    return {"setting": line.setting, "note": line.note, "cells": cells(line)[:-1], "holds": line.holds}


def run(folder: Path) -> RunView:
    """Read one run; a damaged folder gives a view with the status `damaged`."""
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
        return RunView(name_of(folder), "damaged", _message(error, folder), report=own_page)


def _status(folder: RunFolder) -> tuple[str, str]:
    """(`done`, `failed` or `unfinished`; the last line of the failure)."""
    if folder.done:
        return "done", ""
    return ("unfinished", "") if folder.failure is None else ("failed", folder.failure_line)


def _columns(record: Record) -> dict[str, Any]:
    """A run's row of the table; None for values that it lacks."""
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
    """The before/after table; ValueError if a value is not a number, which the page could not show."""
    rows = table(summary)
    for row in rows:
        for cell in row["cells"]:
            for number in (cell["value"], cell["theory"], *(cell["interval"] or ())):
                if not isinstance(number, int | float | None):
                    raise ValueError(f"summary.json is damaged: {row['name']} is {number!r}")
    return rows


def _message(error: Exception, folder: Path | None = None) -> str:
    """An error in one line, without the path of the run folder."""
    if isinstance(error, ValueError):
        text = str(error).replace(f"{folder}/", "") if folder else str(error)
        return one_line(text)
    if isinstance(error, OSError):
        return str(error.strerror or error)
    return f"its files do not fit together ({type(error).__name__}: {one_line(str(error))})"
