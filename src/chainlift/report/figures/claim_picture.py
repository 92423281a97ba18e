"""The picture of a claim's findings: a panel for each quantity measured at several places."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainlift.measure.finding import Finding
from chainlift.report.figures.picture import Line, Lines, Picture

ALL_SEEDS = "measured"
PREDICTED = "predicted"
FEW = 12
"""Largest number of places drawn as points; more are drawn as a curve."""


def findings_picture(
    name: str,
    title: str,
    seeds: Sequence[int],
    findings: Sequence[Finding],
) -> Picture | None:
    """The picture of findings with one value per seed; None if no quantity is measured at two places."""
    panels: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.x is not None and len(finding.values) == len(seeds):
            panels.setdefault(finding.quantity, []).append(finding)
    drawn_panels = [_panel(quantity, lines) for quantity, lines in panels.items()]
    curves = tuple(panel for panel in drawn_panels if any(len(line.x) > 1 for line in panel.lines))
    return Picture(name, title, tuple(seeds), curves) if curves else None


def _panel(quantity: str, findings: list[Finding]) -> Lines:
    """The panel of one quantity: for each series a measured line and its prediction."""
    lines = []
    for series in dict.fromkeys(finding.series for finding in findings):
        series_findings = sorted((finding for finding in findings if finding.series == series), key=_place)
        x = tuple(_place(finding) for finding in series_findings)
        # The line has a gap where nothing is predicted: a ramp over it would be another prediction.
        predictions = tuple(math.nan if f.predicted is None else f.predicted for f in series_findings)
        if not all(map(math.isnan, predictions)):
            lines.append(Line(f"{series}, {PREDICTED}" if series else PREDICTED, x, (predictions,), "predicted"))
        lines.append(
            Line(series or ALL_SEEDS, x, tuple(zip(*(finding.values for finding in series_findings), strict=True)))
        )
    x = sorted({place for line in lines for place in line.x})
    is_course = len(x) > FEW
    return Lines(
        title=quantity,
        x_label=findings[0].axis,
        y_label="",
        lines=tuple(lines),
        log_x=len(x) > 1 and x[0] > 0 and x[-1] >= 10 * x[0] and not is_course,
        form="curves" if is_course else "points",
        log_y=findings[0].geometric,
        share=findings[0].share,
    )


def _place(finding: Finding) -> float:
    assert finding.x is not None
    return finding.x
