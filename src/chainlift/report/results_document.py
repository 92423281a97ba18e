"""The document of results: every claim that was reproduced, with its verdict, table, figures and how it was made."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainlift.runs.store import write_atomically

HEAD = """# Results

Written by `chainlift reproduce`, not by hand: what was measured, beside what theory says ([theory.md](theory.md)).
Intervals are Student's t, 95 %, over seeds. "Worst" is the seed farthest from the prediction; every seed must be within
"allowed", or the mean where "mean" stands behind it; "inside" asks that the mean's interval holds the prediction. A
line without a prediction is a measurement. A verdict that fails is shown as failing.

"""
KEYS = (
    "claim",
    "statement",
    "verdict",
    "seeds",
    "runs",
    "findings",
    "pictures",
    "date",
    "seconds",
    "made_on",
    "judged_on",
)
QUICK = """## At quick sizes

    chainlift reproduce --all --quick

The same claims with small runs of the same shape, for a first look on a laptop.

"""


@dataclass(frozen=True)
class _Told:
    """A claim's files."""

    content: dict[str, Any]
    table: str
    pictures: list[Path]


def write(document: Path, results: Path, names: Sequence[str]) -> list[str]:
    """The names of the claims now in `document`: those of `names` whose results are in `results` or `results`/quick.

    Figures of full results are copied into `img` beside the document. ValueError in one line if it cannot be written.
    """
    whole, quick = (_read(folder, names) for folder in (results, results / "quick"))
    try:
        pictures = document.parent / "img"
        pictures.mkdir(parents=True, exist_ok=True)
        for told in whole:
            for picture in told.pictures:
                shutil.copyfile(picture, pictures / picture.name)
        write_atomically(document, _render(whole, quick))
    except OSError as error:
        raise ValueError(f"cannot write {document}: {error.strerror}") from error
    there = {told.content["claim"] for told in (*whole, *quick)}
    return [name for name in names if name in there]


def _read(folder: Path, names: Sequence[str]) -> list[_Told]:
    """The claims that a folder holds; ValueError in one line names a file that is damaged or of another version."""
    return [_claim(folder, name) for name in names if (folder / f"{name}.json").exists()]


def _claim(folder: Path, name: str) -> _Told:
    file = folder / f"{name}.json"
    try:
        content = json.loads(file.read_text())
        missing = [key for key in KEYS if key not in content]
        table = (folder / f"{name}.md").read_text()
        pictures = [folder / f"{one['name']}.png" for one in content.get("pictures", [])]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} is damaged; `chainlift reproduce {name}` writes it again") from error
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}; `chainlift reproduce {name}` writes it again")
    return _Told(content, table, pictures)


def _render(whole: list[_Told], quick: list[_Told]) -> str:
    """The document as Markdown."""
    text = HEAD + _overview([told.content for told in whole], linked=True)
    text += "\n".join(_section(told) for told in whole)
    if quick:
        text += "\n" + QUICK + _circumstances([told.content for told in quick]) + "\n\n"
        text += _overview([told.content for told in quick], linked=False)
        text += "\n".join(_lines(told, f"{told.content['claim']}: all") for told in quick)
    return text


def _overview(contents: list[dict[str, Any]], *, linked: bool) -> str:
    """A row a claim."""
    lines = ["| claim | | verdict | seeds | runs | minutes of training |", "|---|---|---|---|---|---|"]
    for one in contents:
        name = f"[{one['claim']}](#{_anchor(_title(one))})" if linked else one["claim"]
        minutes = f"{one['seconds']['all'] / 60:.0f}"
        cells = (name, one["statement"], one["verdict"], seed_range(one["seeds"]), one["runs"], minutes)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n\n"


def _section(told: _Told) -> str:
    """A claim's part of the document."""
    one = told.content
    parts = [
        f"## {_title(one)}",
        f"{one['statement']}.",
        f"    chainlift reproduce {one['claim']} --seeds {seed_range(one['seeds'])}",
        _circumstances([one]),
    ]
    parts += [f"![{one['statement']}](img/{picture.name})" for picture in told.pictures]
    return "\n\n".join([*parts, _lines(told, "All")])


def _lines(told: _Told, title: str) -> str:
    """Every finding, folded."""
    summary = f"{title} {len(told.content['findings'])} lines"
    return f"<details><summary>{summary}</summary>\n\n{told.table.strip()}\n\n</details>\n"


def _circumstances(contents: list[dict[str, Any]]) -> str:
    """When, where and with what claims were measured, and how long their runs took."""
    last = contents[-1]
    counts = Counter[str]()
    for one in contents:
        for where in one["made_on"]:
            counts[_machine(where)] += where["runs"]
    made = "; ".join(f"{text} ({count})" if len(counts) > 1 else text for text, count in counts.most_common())
    judged = _commit(last["judged_on"])
    told = f"{sum(one['runs'] for one in contents)} runs, made with {made}. Judged {last['date']} with {judged}."
    seconds = [one["seconds"] for one in contents]
    if len(seconds) == 1:
        told += f" A run trained for {seconds[0]['median']:.0f} s (median), at most {seconds[0]['most']:.0f} s."
    else:
        told += f" The longest run trained for {max(one['most'] for one in seconds):.0f} s."
    return told


def _machine(where: dict[str, Any]) -> str:
    """A run's environment in words."""
    threads = f"{where['threads']} thread{'s' if where['threads'] > 1 else ''} a run"
    versions = f"chainlift {_commit(where)}, torch {where['packages']['torch']}, Python {where['python']}"
    return f"{versions}, {threads} on {where['device']}: {where['processor']}, {where['cpus']} cores"


def _commit(where: dict[str, Any]) -> str:
    """Version and commit of chainlift, as an environment tells them."""
    if not where["commit"]:
        return f"{where['chainlift']} (commit not on record)"
    changed = " and changes" if where["uncommitted_changes"] else ""
    return f"{where['chainlift']} (commit {where['commit'][:7]}{changed})"


def _title(one: dict[str, Any]) -> str:
    return f"{one['claim']}: {one['verdict']}"


def _anchor(title: str) -> str:
    """The anchor that Markdown viewers give to a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def seed_range(seeds: Sequence[int]) -> str:
    """0-4 for a range, else 0,2,5."""
    is_range = list(seeds) == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 1
    return f"{seeds[0]}-{seeds[-1]}" if is_range else ",".join(map(str, seeds))
