"""Run a case through the command line and read its numbers from the run folder."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

from matplotlib.figure import Figure

from tests.golden.cases import CASES, QUANTITIES, RENAMED, Case
from tests.in_process import command

FIRST_STAGE = "pretrain"
METRICS, RESPONSES = "metrics.jsonl", "rollouts.jsonl"
KEPT_STEPS = (1, 2, 5, 10)  # of next-token prediction, beside the last; of RL every update is kept
SHOWN = 1  # responses of each occasion that are written out; a digest stands for all of them

Column = list[Any]
Numbers = dict[str, dict[str, Column]]
"""By kind of row (`pretrain/update`): columns by name, one of which is `step`, with one value a row."""


def numbers_of(name: str, shared: Path) -> Numbers:
    """The numbers of the case `name`, from a run made now.

    A run whose stage 1 is not kept is made under `shared`, where it takes stage 1 from a run that was there before.
    """
    case = CASES[name]
    if FIRST_STAGE not in case.stages:
        return read(run(case, shared), case.stages)
    with tempfile.TemporaryDirectory() as own:
        return read(run(case, Path(own)), case.stages)


def run(case: Case, out: Path) -> Path:
    """The run folder of a case, under `out`; AssertionError with the command's last words if it fails."""
    recipe = out / "golden.yaml"
    recipe.write_text(case.recipe, encoding="utf-8")
    before = set(out.iterdir())
    # A page takes several times as long as such a run. Without figures there is none, and the run is finished all the
    # same.
    with mock.patch.object(Figure, "__init__", side_effect=RuntimeError("no figures in golden runs")):
        ended = command(*case.verb, recipe, *case.overrides.split(), "--out", out)
    assert ended.status == 0, ended.err[-2000:]
    (folder,) = (folder for folder in set(out.iterdir()) - before if folder.name.startswith("golden-"))
    return folder


def read(folder: Path, stages: Iterable[str]) -> Numbers:
    """The numbers that a run folder holds of some stages."""
    numbers: Numbers = {}
    metrics, responses = _rows(folder / METRICS), _rows(folder / RESPONSES)
    for stage in stages:
        for kind, names in QUANTITIES.items():
            rows = [row for row in metrics if _is_of(row, stage=stage, kind=kind)]
            if kind == "update" and stage != "posttrain":
                kept = {*KEPT_STEPS, max((_value(row, "step") for row in rows), default=0)}
                rows = [row for row in rows if _value(row, "step") in kept]
            if kind == "evaluation":  # where a stage begins, its update 1 or the stage before it shows
                rows = [row for row in rows if _value(row, "step") > 0]
            if rows:
                columns = {name: [_value(row, name) for row in rows] for name in ("step", *names)}
                numbers[f"{stage}/{kind}"] = {name: column for name, column in columns.items() if _holds_any(column)}
        shown = [row for row in responses if _is_of(row, stage=stage)]
        if shown:
            numbers[f"{stage}/responses"] = _responses(shown)
    return numbers


def _holds_any(column: Column) -> bool:
    """Whether a column holds anything but null."""
    return any(value is not None for value in column)


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _is_of(row: dict[str, Any], **wanted: str) -> bool:
    """Whether a row is of the stage and kind."""
    return all(_value(row, key) == RENAMED.get(value, value) for key, value in wanted.items())


def _value(row: dict[str, Any], name: str) -> Any:
    """The value under a dotted key, null where there is none."""
    value: Any = row
    for key in RENAMED.get(name, name).split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _responses(rows: list[dict[str, Any]]) -> dict[str, Column]:
    """What was sampled at each occasion: the first responses, and a digest of all with prompts and advantages."""
    occasions: dict[tuple[int, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        occasion = (_value(row, "step"), _value(row, "kind"), _value(row, "mode"))
        occasions.setdefault(occasion, []).append(row)
    digested = ("prompt", "response", "reward", "advantage")
    return {
        "step": [step for step, _, _ in occasions],
        "occasion": [f"{kind}, {mode}" for _, kind, mode in occasions],
        "first": [[" ".join(_value(row, "response")) for row in shown[:SHOWN]] for shown in occasions.values()],
        "digest": [_digest([[_value(row, key) for key in digested] for row in shown]) for shown in occasions.values()],
    }


def _digest(content: Any) -> str:
    """Twelve hexadecimal digits of what JSON can hold."""
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=6).hexdigest()
