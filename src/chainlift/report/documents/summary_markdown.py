"""A run's summary as a Markdown table, for cards and documents."""

from __future__ import annotations

from typing import Any

from chainlift.report.names import measured_in
from chainlift.report.terminal.reporter import cell
from chainlift.runs import stage_views


def summary_markdown(summary: dict[str, Any], this: str = "") -> str:
    """Markdown table of the measurements after each stage, with intervals. this: the stage marked as this model's."""
    views = stage_views.of_summary(summary)
    stages = [stage.name for stage in views]
    titles = [stage.column + (" (this model)" if stage.name == this else "") for stage in views]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(stages) + 1) + "|"]
    for key, title, _ in measured_in(summary[stage] for stage in stages):
        lines.append(f"| {title} | " + " | ".join(cell(summary[stage], key) for stage in stages) + " |")
    return "\n".join(lines) + "\n"
