"""A run's summary as a Markdown table, for cards and documents."""

from __future__ import annotations

from typing import Any

from chainlift.report.names import STAGE_TITLES, column_title, measured_in
from chainlift.report.terminal import cell


def summary_markdown(summary: dict[str, Any], this: str = "") -> str:
    """What was measured after each stage, with its intervals; `this`: the stage that is marked as this model's."""
    stages = [stage for stage in STAGE_TITLES if stage in summary]
    titles = [column_title(stage) + (" (this model)" if stage == this else "") for stage in stages]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(stages) + 1) + "|"]
    for key, title, _ in measured_in(summary[stage] for stage in stages):
        lines.append(f"| {title} | " + " | ".join(cell(summary[stage], key) for stage in stages) + " |")
    return "\n".join(lines) + "\n"
