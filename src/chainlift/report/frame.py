"""Records as pandas DataFrames with flat columns; pandas is imported when one is made.

The table of metrics.jsonl has a column `<mode>_<quantity>` for each quantity of a mode, as in summary.json:
`greedy_accuracy`. The table of runs has columns `<stage>.<quantity>` beside the settings, which have the keys of
overrides: `posttrain.greedy_accuracy`, `posttrain.lr`. An interval `..._ci95` becomes two columns, `..._ci95_low` and
`..._ci95_high`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainlift.runs.progress import Progress
from chainlift.runs.store import RunFolder

if TYPE_CHECKING:
    from pandas import DataFrame

ONE_CELL = ("length_histogram", "by_prompt_length", "reference")
"""Mappings that stay in one cell, because their keys differ from row to row."""
LEFT_OUT = ("stages", "recipe", "run_id", "seed")
"""Keys of a summary without a column: titles of stages, and what a row of runs already begins with."""
ABOUT = ("name", "title", "unit", "seed")
"""Keys of recipes and stages that do not affect training, or have their own column."""


def need_pandas() -> Any:
    """Import pandas; ValueError in one line if it is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise ValueError("a DataFrame needs the extra notebook: pip install 'chainlift[notebook]'") from error
    return pandas


def of_rows(rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """DataFrame of the rows of metrics.jsonl."""
    return need_pandas().DataFrame([flat(row, "_") for row in rows])


def of_runs(runs: Iterable[Progress], out: Path) -> DataFrame:
    """DataFrame with a row for each run under `out`: state, settings that differ, and the summary if finished."""
    records = [_read(progress, RunFolder(out / progress.run_id)) for progress in runs]
    vary = _varying([settings for _, settings, _ in records if settings])
    rows = [head | {key: settings.get(key) for key in vary} | summary for head, settings, summary in records]
    return need_pandas().DataFrame(rows)


def _read(progress: Progress, folder: RunFolder) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(identity and state, settings, summary) of a run, each flat; empty where missing or damaged."""
    settings: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    state, note = progress.state, progress.note
    try:
        if state != "damaged":
            settings = _settings(folder.recipe())
        if state == "done":
            summary = flat({key: value for key, value in folder.summary().items() if key not in LEFT_OUT}, ".")
    except ValueError as error:
        state, note = "damaged", str(error)
    head = {"run_id": progress.run_id, "recipe": settings.get("name"), "seed": settings.get("seed")}
    return head | {"state": state, "note": note}, settings, summary


def flat(content: Mapping[str, Any], separator: str, prefix: str = "") -> dict[str, Any]:
    """{name: value} of nested keys and values; names are joined by `separator`, and an interval becomes two values."""
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and key not in ONE_CELL:
            values |= flat(value, separator, f"{name}{separator}")
        elif key.endswith("_ci95"):
            values[f"{name}_low"], values[f"{name}_high"] = value if value is not None else (None, None)
        else:
            values[name] = value
    return values


def _settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """{override key: value} of a recipe, and the names of its stages under `stages`."""
    stages = recipe.get("stages") or {}
    parts = {key: value for key, value in recipe.items() if key != "stages"} | dict(stages)
    return flat(parts, ".") | ({"stages": ", ".join(stages)} if stages else {})


def _varying(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings outside ABOUT with different values in two rows, in order; rows without a setting do not count."""
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.items():
            values.setdefault(key, set()).add(repr(value))
    return [
        key
        for key, representations in values.items()
        if len(representations) > 1 and key.rpartition(".")[2] not in ABOUT
    ]
