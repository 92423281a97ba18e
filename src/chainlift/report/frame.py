"""Records as pandas DataFrames with flat columns; pandas is imported when one is made.

Rows of metrics.jsonl: what was measured in a mode is `<mode>_<quantity>`, as in summary.json: `greedy_accuracy`. Runs:
`<stage>.<quantity>` beside the settings, which have the keys of overrides: `posttrain.greedy_accuracy`, `posttrain.lr`.
An interval `..._ci95` is two columns, `..._ci95_low` and `..._ci95_high`.
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
"""Tables that stay in one cell: their keys differ from row to row."""
LEFT_OUT = ("stages", "recipe", "run_id", "seed")
"""Of a summary: what stages are called, and what a row of runs begins with."""
ABOUT = ("name", "title", "unit", "seed")
"""Keys of recipes and stages that change nothing, or have a column of their own."""


def need_pandas() -> Any:
    """The module pandas; ValueError in one line if it is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise ValueError("a DataFrame needs the extra notebook: pip install 'chainlift[notebook]'") from error
    return pandas


def of_rows(rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """A row of the table for each of metrics.jsonl."""
    return need_pandas().DataFrame([flat(row, "_") for row in rows])


def of_runs(runs: Iterable[Progress], out: Path) -> DataFrame:
    """A row a run under `out`: what it is, the settings in which the runs differ, and of a finished one its summary."""
    read = [_read(one, RunFolder(out / one.run_id)) for one in runs]
    vary = [
        key
        for key in _varying([settings for _, settings, _ in read if settings])
        if key.rpartition(".")[2] not in ABOUT
    ]
    rows = [head | {key: settings.get(key) for key in vary} | summary for head, settings, summary in read]
    return need_pandas().DataFrame(rows)


def _read(one: Progress, folder: RunFolder) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(what a run is, its settings, its summary), each flat; empty where there is nothing, or nothing readable."""
    settings: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    state, note = one.state, one.note
    try:
        if state != "damaged":
            settings = _settings(folder.recipe())
        if state == "done":
            summary = flat({key: value for key, value in folder.summary().items() if key not in LEFT_OUT}, ".")
    except ValueError as error:
        state, note = "damaged", str(error)
    head = {"run_id": one.run_id, "recipe": settings.get("name"), "seed": settings.get("seed")}
    return head | {"state": state, "note": note}, settings, summary


def flat(content: Mapping[str, Any], joint: str, above: str = "") -> dict[str, Any]:
    """{name: value} of nested keys and values, names put together with `joint`, limits in two."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and key not in ONE_CELL:
            found |= flat(value, joint, f"{name}{joint}")
        elif key.endswith("_ci95"):
            found[f"{name}_low"], found[f"{name}_high"] = value if value is not None else (None, None)
        else:
            found[name] = value
    return found


def _settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """{key as overrides have it: value} of a recipe, and the names of its stages under `stages`."""
    stages = recipe.get("stages") or {}
    parts = {key: value for key, value in recipe.items() if key != "stages"} | dict(stages)
    return flat(parts, ".") | ({"stages": ", ".join(stages)} if stages else {})


def _varying(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings of which two rows have different values, in order; a row without one says nothing about it."""
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.items():
            values.setdefault(key, set()).add(repr(value))
    return [key for key, found in values.items() if len(found) > 1 and key.rpartition(".")[2] not in ABOUT]
