"""The record of a run, read from its folder: the source of figures and pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainlift import reading
from chainlift.runs import shapes, stage_views
from chainlift.runs.stage_views import StageView
from chainlift.runs.store import RunFolder, read_rows
from chainlift.visible import one_line, visible


@dataclass(frozen=True)
class Record:
    """The files of a run folder, parsed; `summary` is None while the run is unfinished."""

    folder: Path
    recipe: dict[str, Any]
    environment: dict[str, Any]
    rows: list[dict[str, Any]]
    responses: list[dict[str, Any]]
    summary: dict[str, Any] | None

    @property
    def is_text(self) -> bool:
        """Whether responses are texts of a language model instead of rows of symbols."""
        return stage_views.is_text(self.recipe)

    @property
    def stages(self) -> list[StageView]:
        """The stages of the run, in order."""
        return stage_views.of_recipe(self.recipe)

    @property
    def measured_stages(self) -> list[StageView]:
        """The stages with a recorded evaluation, without baselines."""
        return [stage for stage in self.stages if not stage.is_baseline and self.of(stage.name, "evaluation")]

    def of(self, stage: str, kind: str) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl of one stage and kind, in order."""
        return [row for row in self.rows if row["stage"] == stage and row["kind"] == kind]

    def last_evaluation(self, stage: str) -> dict[str, Any] | None:
        """The latest evaluation row of a stage, or None."""
        evaluations = self.of(stage, "evaluation")
        return evaluations[-1] if evaluations else None

    def shown(self, stage: str, mode: str, *, last: bool) -> list[dict[str, Any]]:
        """Recorded responses of a stage's first or last evaluation in one mode."""
        responses = [
            row
            for row in self.responses
            if row["stage"] == stage and row["kind"] == "evaluation" and row["mode"] == mode
        ]
        steps = [row["step"] for row in responses]
        if not steps:
            return []
        step = max(steps) if last else min(steps)
        return [row for row in responses if row["step"] == step]


def read(folder: Path) -> Record:
    """Read the record of a run folder; ValueError in one line if it is not one, or a file is damaged."""
    recipe_file, recipe = visible(str(folder / "recipe.yaml")), RunFolder(folder).recipe()
    parts = ("task", "mixture", "model", "stages")
    _need(recipe, ("name", *parts), recipe_file)
    for key in parts:
        reading.mapping(recipe[key], f"{recipe_file}, key {key},")
    for name, stage in recipe["stages"].items():
        reading.mapping(stage, f"{recipe_file}, key stages.{name},")
    summary = folder / "summary.json"
    environment = folder / "environment.json"
    return Record(
        folder=folder,
        recipe=recipe,
        environment=_checked(environment, shapes.Environment) if environment.exists() else {},
        rows=_rows(folder / "metrics.jsonl", shapes.check_row),
        responses=_rows(folder / "rollouts.jsonl", lambda row, where: shapes.check(row, shapes.ResponseRow, where)),
        summary=_checked(summary, shapes.Summary) if summary.exists() else None,
    )


@contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Raise errors of the block as one-line ValueErrors: the folder's files are valid but inconsistent."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ValueError(
            f"{visible(str(folder))}: its files do not fit together ({type(error).__name__}: {one_line(str(error))})"
        ) from error


def _rows(path: Path, check: Callable[[dict[str, Any], str], None]) -> list[dict[str, Any]]:
    """The rows of a jsonl file; ValueError names the line that is damaged or lacks a key."""
    rows = read_rows(path)
    for number, row in enumerate(rows, start=1):
        check(row, f"{visible(str(path))}, line {number},")
    return rows


def _checked(file: Path, kind: type[shapes.Shape]) -> dict[str, Any]:
    """Content of a JSON file, checked against a shape."""
    content = reading.json_mapping(file)
    shapes.check(content, kind, visible(str(file)))
    return content


def _need(content: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Raise ValueError unless `content` has all of `keys`."""
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"{where} is damaged: it lacks {', '.join(missing)}")
