"""A run folder read back: what figures and pages are made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainlift.runs.store import RunFolder, read_rows

STAGES = ("pretrain", "posttrain", "continued_pretrain")
METRICS_KEYS = ("stage", "kind", "step", "sequences")
EVALUATION_KEYS = ("greedy", "sampled")
RESPONSE_KEYS = ("stage", "kind", "mode", "step", "prompt", "response", "probabilities", "token_right")


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
        """Whether responses are texts, of a language model, and no rows of symbols."""
        return "data" in self.recipe

    def of(self, stage: str, kind: str) -> list[dict[str, Any]]:
        """The metrics rows of one stage and kind, in order."""
        return [row for row in self.rows if row["stage"] == stage and row["kind"] == kind]

    def last_evaluation(self, stage: str) -> dict[str, Any] | None:
        """The newest evaluation row of a stage, or None."""
        found = self.of(stage, "evaluation")
        return found[-1] if found else None

    def shown(self, stage: str, mode: str, *, last: bool) -> list[dict[str, Any]]:
        """The responses kept at the first or last evaluation of a stage in one mode."""
        found = [r for r in self.responses if r["stage"] == stage and r["kind"] == "evaluation" and r["mode"] == mode]
        steps = [r["step"] for r in found]
        if not steps:
            return []
        step = max(steps) if last else min(steps)
        return [r for r in found if r["step"] == step]


def read(folder: Path) -> Record:
    """The record in a run folder; ValueError in one line if it is none, or names the file that is damaged."""
    recipe_file, recipe = folder / "recipe.yaml", RunFolder(folder).recipe()
    is_text = "data" in recipe
    _need(recipe, ("name", "data", "mixture", "model") if is_text else ("name", "task", "mixture"), str(recipe_file))
    kind = "data" if is_text else "task"
    _need(recipe[kind], (), f"{recipe_file}, key {kind},")
    _need(recipe["mixture"], (), f"{recipe_file}, key mixture,")
    summary = _json(folder / "summary.json")
    if summary is not None:
        _need(summary, ("pretrain", "theory"), str(folder / "summary.json"))
    return Record(
        folder=folder,
        recipe=recipe,
        environment=_json(folder / "environment.json") or {},
        rows=_rows(folder / "metrics.jsonl", METRICS_KEYS),
        responses=_rows(folder / "rollouts.jsonl", RESPONSE_KEYS),
        summary=summary,
    )


def _rows(path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a jsonl file; ValueError names the line that is damaged or lacks one of `keys`."""
    try:
        rows = read_rows(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: it is not UTF-8 text") from error
    for number, row in enumerate(rows, start=1):
        _need(row, keys, f"{path}, line {number},")
        if keys == METRICS_KEYS and row["kind"] == "evaluation":
            _need(row, EVALUATION_KEYS, f"{path}, line {number},")
    return rows


def _need(found: Any, keys: tuple[str, ...], where: str) -> None:
    """ValueError unless `found` is a mapping with all of `keys`."""
    if not isinstance(found, dict):
        raise ValueError(f"{where} is damaged: it is no mapping")
    missing = [key for key in keys if key not in found]
    if missing:
        raise ValueError(f"{where} is damaged: it lacks {', '.join(missing)}")


def _json(file: Path) -> dict[str, Any] | None:
    """A JSON file's content, None if it is not there; ValueError if it is damaged."""
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
