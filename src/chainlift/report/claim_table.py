"""A claim's findings as a table: for the terminal, and as Markdown for documents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from rich.table import Table

from chainlift.measure.finding import Finding

COLUMNS = ("", "predicted", "mean over seeds [95 %]", "worst seed", "allowed", "verdict")


def claim_table(title: str, findings: Sequence[Finding]) -> Table:
    """The findings as a table for the terminal: a line a setting, under its quantity."""
    table = Table(*COLUMNS, title=title)
    for quantity, lines in groupby(findings, key=lambda finding: finding.quantity):
        own = list(lines)
        if own[0].setting:
            table.add_row(f"[bold]{quantity}[/bold]")
        for finding in own:
            name = f"  {finding.setting}" if finding.setting else f"[bold]{quantity}[/bold]"
            table.add_row(name, *_cells(finding))
        table.add_section()
    return table


def markdown(findings: Sequence[Finding]) -> str:
    """The findings as a Markdown table."""
    lines = [("quantity", *COLUMNS[1:]), ("---",) * len(COLUMNS)]
    lines += [(", ".join(filter(None, (f.quantity, f.setting))), *_cells(f)) for f in findings]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cells(finding: Finding) -> tuple[str, ...]:
    """Everything but the names: predicted, mean and interval, distance of the worst seed, tolerance, verdict."""
    told = {True: "holds", False: "FAILS", None: "measured"}[finding.holds]
    if finding.note:
        told += f" ({finding.note})"
    interval = " [{:.4g}, {:.4g}]".format(*finding.ci95) if math.isfinite(finding.ci95[0]) else ""
    measured = f"{finding.mean:.4g}{interval}"
    if finding.predicted is None:
        return "", measured, "", "", told
    worst = f"{finding.worst:.2g}" if len(finding.values) > 1 else ""
    return (
        f"{finding.predicted:.4g}",
        measured,
        worst,
        f"{finding.tolerance:g}{'' if finding.each else ' (mean)'}",
        told,
    )
