"""Colors, markers and dashes of all figures, with the palette of Okabe and Ito for color-blind readers.

Lines also differ in marker and dash, and cells in lightness, so that a gray copy is readable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chainlift.report.figures.picture import Kind, Line, Lines, Picture

GREEDY, SAMPLED, BASELINE, THEORY, FITTED = "#0072B2", "#D55E00", "#7A7A7A", "#009E73", "#808080"
COLORS = (SAMPLED, GREEDY, "#E69F00", "#56B4E9", "#CC79A7", "#999999", THEORY)
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
DASHES = ("solid", "dash", "dot", "dashdot")
COLOR_MAP = "cividis"

EACH_SEED = "each seed"


@dataclass(frozen=True)
class Look:
    """The style of a line, in plotly's names."""

    color: str
    marker: str = "circle"
    dash: str = "solid"
    width: float = 2.0


NAMED = {
    "": Look(GREEDY),
    "greedy": Look(GREEDY),
    "sampled": Look(SAMPLED, "square", "dash"),
    "baseline, greedy": Look(BASELINE),
    "baseline, sampled": Look(BASELINE, "square", "dash"),
    "all right": Look(THEORY),
    "mixed": Look("#E69F00"),
    "all wrong": Look(SAMPLED),
}
"""Lines with the same style in every figure; others get styles in order of appearance."""
LEGEND: dict[Kind, str] = {"predicted": "predicted", "fitted": "fitted", "reference": "reference without noise"}
"""Legend entries of lines of other kinds than `main`, one for each kind."""
MARKS = {"predicted": Look(THEORY, dash="dot"), "fitted": Look(FITTED, dash="dashdot"), "event": Look("", dash="dot")}
"""Styles of vertical lines; events have the color of text."""


def looks(picture: Picture) -> dict[str, Look]:
    """{name: style} of the picture's main lines."""
    lines = [line for panel in picture.panels if isinstance(panel, Lines) for line in panel.main()]
    names = [name for name in dict.fromkeys(line.name for line in lines) if name not in NAMED]
    return NAMED | {name: _numbered(number) for number, name in enumerate(names)}


def look_of(line: Line, of_main: dict[str, Look]) -> Look:
    """The style of any line, from those of the main lines; a reference has the dash of its main line."""
    if line.kind == "main":
        return of_main[line.name]
    if line.kind == "reference":
        beside = of_main.get(main_of(line, of_main))
        return Look(THEORY, dash=beside.dash if beside else "solid", width=1.2)
    return Look(FITTED, dash="dashdot") if line.kind == "fitted" else Look(THEORY, dash="dot")


def main_of(line: Line, names: Iterable[str]) -> str:
    """The name, among those of main lines, that another line belongs to: `star` of `star, predicted`; empty if none."""
    return max((name for name in names if line.name.startswith(f"{name}, ")), key=len, default="")


def _numbered(number: int) -> Look:
    """Style number `number` for lines outside NAMED; repeated colors get other markers and dashes."""
    shift = number // len(COLORS)
    marker, dash = MARKERS[(number + shift) % len(MARKERS)], DASHES[(number + shift) % len(DASHES)]
    return Look(COLORS[number % len(COLORS)], marker, dash)
