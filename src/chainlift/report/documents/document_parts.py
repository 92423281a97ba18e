"""The document of results in parts, so that rewriting one part keeps the others: other claims, other runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chainlift import reading
from chainlift.runs.durable import write_file

BEGINNING = "# Results\n\nWritten by `chainlift reproduce`"
HEAD = f"""{BEGINNING}, not by hand: what was measured, beside what theory says ([theory.md](theory.md)).
Intervals are Student's t, 95 %, over seeds. "Worst" is the seed farthest from the prediction; every seed must be within
"allowed", or the mean where "mean" stands behind it; "inside" asks that the mean's interval holds the prediction. A
line without a prediction is a measurement. A verdict that fails is shown as failing.

"""
COLUMNS = "| claim | | verdict | seeds | runs | minutes of training |\n|---|---|---|---|---|---|\n"
QUICK = "## At quick sizes\n"
SINGLE = "## Single runs\n"
ABOUT_SINGLE = """
Written by `chainlift report RUN --document`: one seed each, which is no claim; Wilson intervals, 95 %, over prompts.
"""


@dataclass
class Parts:
    """The parts of a document, as text."""

    rows: dict[str, str] = field(default_factory=dict)
    """{claim: its row of the table at the top}."""
    sections: dict[str, str] = field(default_factory=dict)
    """{claim: its section, with the heading}."""
    quick: str = ""
    """The section of claims at quick sizes, without the heading."""
    single: dict[str, str] = field(default_factory=dict)
    """{recipe: the section of its single run, with the heading}."""


def read(document: Path) -> Parts:
    """Read the parts of a document made by `write`; empty if it does not exist. ValueError for other documents."""
    parts = Parts()
    if not document.exists():
        return parts
    head, *sections = reading.text(document).split("\n## ")
    if not head.startswith(BEGINNING):
        raise ValueError(f"{document} was not written by chainlift and is left alone; name another file")
    for row in head.splitlines():
        if row.startswith("| ["):
            parts.rows[row[3:].partition("]")[0]] = row
    for section in sections:
        text = "## " + section.strip("\n") + "\n"
        if text.startswith(QUICK):
            parts.quick = text.removeprefix(QUICK).strip("\n") + "\n"
        elif text.startswith(SINGLE):
            for run_section in text.split("\n### ")[1:]:
                parts.single[run_section.partition(":")[0]] = "### " + run_section.strip("\n") + "\n"
        else:
            parts.sections[section.partition(":")[0]] = text
    return parts


def write(document: Path, parts: Parts, order: Sequence[str]) -> None:
    """Write the document atomically. order: names of claims; claims that it lacks come last."""
    names = [*(name for name in order if name in parts.sections), *(set(parts.sections) - set(order))]
    text = HEAD
    if names:
        text += COLUMNS + "".join(parts.rows[name] + "\n" for name in names) + "\n"
    text += "\n".join(parts.sections[name] for name in names)
    if parts.quick:
        text += f"\n{QUICK}\n{parts.quick}"
    if parts.single:
        text += f"\n{SINGLE}{ABOUT_SINGLE}\n" + "\n".join(parts.single[name] for name in sorted(parts.single))
    write_file(document, text)
