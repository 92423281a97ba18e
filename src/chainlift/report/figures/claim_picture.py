"""A claim's findings as a picture: a panel for each quantity that was measured at several places."""

from __future__ import annotations

from collections.abc import Sequence

from chainlift.measure.finding import Finding
from chainlift.report.figures.picture import Line, Lines, Picture

ALL_SEEDS = "measured"
PREDICTED = "predicted"
FEW = 12
"""Places that are drawn as points; more are a course, drawn as a curve."""


def findings_picture(
    name: str,
    title: str,
    seeds: Sequence[int],
    findings: Sequence[Finding],
) -> Picture | None:
    """The picture of findings, with one value a seed each; None where no quantity is measured at two places."""
    panels: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.x is not None and len(finding.values) == len(seeds):
            panels.setdefault(finding.quantity, []).append(finding)
    drawn = [_panel(quantity, lines) for quantity, lines in panels.items()]
    curves = tuple(panel for panel in drawn if any(len(line.x) > 1 for line in panel.lines))
    return Picture(name, title, tuple(seeds), curves) if curves else None


def _panel(quantity: str, findings: list[Finding]) -> Lines:
    """One quantity: a measured line for each series, and one of its prediction."""
    lines = []
    for series in dict.fromkeys(finding.series for finding in findings):
        own = sorted((finding for finding in findings if finding.series == series), key=_place)
        x = tuple(_place(finding) for finding in own)
        known = [(at, finding.predicted) for at, finding in zip(x, own, strict=True) if finding.predicted is not None]
        if known:
            at, values = zip(*known, strict=True)
            lines.append(Line(f"{series}, {PREDICTED}" if series else PREDICTED, at, (values,), "predicted"))
        lines.append(Line(series or ALL_SEEDS, x, tuple(zip(*(finding.values for finding in own), strict=True))))
    x = sorted({at for line in lines for at in line.x})
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
