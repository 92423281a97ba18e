"""The document of results: every claim that was reproduced, with its verdict, table, figure and how it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chainlift.runs.store import write_atomically

HEAD = """# Results

Written by `chainlift reproduce`, not by hand: what was measured, beside what theory says ([theory.md](theory.md)).
Intervals are Student's t, 95 %, over seeds. "Worst" is the seed farthest from the prediction; every seed must be within
"allowed", or the mean where "mean" stands behind it; "inside" asks that the mean's interval holds the prediction. A
line without a prediction is a measurement. A verdict that fails is shown as failing.

"""


def write(document: Path, results: Path, names: Sequence[str]) -> list[str]:
    """The names of the claims now in `document`: those of `names` whose results are in the folder `results`.

    Figures are copied into `img` beside the document. ValueError in one line if it cannot be written.
    """
    told = [json.loads((results / f"{name}.json").read_text()) for name in names if (results / f"{name}.json").exists()]
    try:
        pictures = document.parent / "img"
        pictures.mkdir(parents=True, exist_ok=True)
        for one in told:
            picture = results / f"{one['claim']}.png"
            if picture.exists():
                shutil.copyfile(picture, pictures / picture.name)
        tables = {one["claim"]: (results / f"{one['claim']}.md").read_text() for one in told}
        drawn = {one["claim"] for one in told if (results / f"{one['claim']}.png").exists()}
        write_atomically(document, render(told, tables, drawn))
    except OSError as error:
        raise ValueError(f"cannot write {document}: {error.strerror}") from error
    return [one["claim"] for one in told]


def render(told: Sequence[dict[str, Any]], tables: dict[str, str], drawn: set[str]) -> str:
    """The document as Markdown."""
    lines = ["| claim | | verdict | seeds | runs |", "|---|---|---|---|---|"]
    for one in told:
        link = f"[{one['claim']}](#{_anchor(_title(one))})"
        lines.append(f"| {link} | {one['statement']} | {one['verdict']} | {seed_range(one['seeds'])} | {one['runs']} |")
    sections = [_section(one, tables[one["claim"]], one["claim"] in drawn) for one in told]
    return HEAD + "\n".join(lines) + "\n\n" + "\n".join(sections)


def _section(one: dict[str, Any], table: str, has_figure: bool) -> str:
    """A claim's part of the document."""
    name = one["claim"]
    parts = [
        f"## {_title(one)}",
        f"{one['statement']}.",
        f"    chainlift reproduce {name} --seeds {seed_range(one['seeds'])}",
    ]
    parts.append(_circumstances(one))
    if has_figure:
        parts.append(f"![{one['statement']}](img/{name}.png)")
    lines = len(one["findings"])
    parts.append(f"<details><summary>All {lines} lines</summary>\n\n{table.strip()}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _circumstances(one: dict[str, Any]) -> str:
    """When, where and with what it was measured, and how long it took."""
    where, seconds = one["environment"], one.get("seconds")
    commit = f", commit {where['commit'][:7]}" if where.get("commit") else ""
    versions = f"chainlift {where['chainlift']}{commit}, torch {where['packages']['torch']}, Python {where['python']}"
    date = one.get("date", "Date not on record")
    told = f"{one['runs']} runs. {date}, {versions}; {where['processor']}, {where['cpus']} CPUs."
    if seconds:
        told += f" A run trained for {seconds['median']:.0f} s (median), at most {seconds['most']:.0f} s."
    return told


def _title(one: dict[str, Any]) -> str:
    return f"{one['claim']}: {one['verdict']}"


def _anchor(title: str) -> str:
    """The anchor that Markdown viewers give to a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def seed_range(seeds: Sequence[int]) -> str:
    """0-4 for a range, else 0,2,5."""
    is_range = list(seeds) == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 1
    return f"{seeds[0]}-{seeds[-1]}" if is_range else ",".join(map(str, seeds))
