"""Tables of a claim's findings, for the terminal and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from chainlift.measure.finding import Finding

COLUMNS = ("", "predicted", "mean over seeds [95 %]", "worst", "allowed", "verdict")
FORMAT = "{:20s}{:>8s}  {:23s} {:>7s} {:>9s} {}"


def claim_lines(findings: Sequence[Finding]) -> list[str]:
    """Terminal lines, 80 columns wide: a heading for each quantity and a line for each setting."""
    text_lines = [FORMAT.format(*COLUMNS).rstrip()]
    for quantity, lines in groupby(findings, key=lambda finding: finding.quantity):
        text_lines.append(quantity)
        for finding in lines:
            text_lines.append(FORMAT.format(f"  {finding.setting}", *cells(finding)).rstrip())
            if finding.note:
                text_lines.append(f"    {finding.note}")
    return text_lines


def markdown(findings: Sequence[Finding]) -> str:
    """The findings as a Markdown table."""
    lines = [("quantity", *COLUMNS[1:]), ("---",) * len(COLUMNS)]
    lines += [(", ".join(filter(None, (f.quantity, f.setting, f.note))), *cells(f)) for f in findings]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cells(finding: Finding) -> tuple[str, ...]:
    """Cells of a finding: prediction, mean and interval, distance of the worst seed, tolerance, verdict."""
    verdict = {True: "holds", False: "FAILS", None: "measured"}[finding.holds]
    low, high = finding.ci95
    interval = f" [{_number(low)}, {_number(high)}]" if math.isfinite(low) else ""
    measured = f"{_number(finding.mean)}{interval}"
    if finding.predicted is None:
        return "", measured, "", "", verdict
    worst = f"{finding.worst:.2g}" if len(finding.values) > 1 else ""
    tolerance = f"{finding.tolerance:.3g}"
    allowed = {"each": tolerance, "mean": f"{tolerance} mean", "interval": "inside", "at_least": "at least"}
    return f"{finding.predicted:.4g}", measured, worst, allowed[finding.check], verdict


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
