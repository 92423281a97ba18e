"""Means over seeds, with Student's t intervals: what a recipe does, where a summary says what a run did."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from chainlift.measure.statistics import mean_interval
from chainlift.report.names import measured_in
from chainlift.runs import course


def over_seeds(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Per stage and quantity the `mean` over two or more seeds' summaries, its `ci95` and the `values`, seed by seed.

    A stage that one of them lacks is left out. Shares are cut to [0, 1]. Where all seeds agree the interval has no
    width: the seeds say no more than that.
    """
    first = summaries[0]
    found: dict[str, Any] = {"recipe": first["recipe"], "seeds": [summary["seed"] for summary in summaries]}
    found["stages"] = {
        stage: about
        for stage, about in first["stages"].items()
        if all(stage in summary["stages"] for summary in summaries)
    }
    for stage in found["stages"]:
        own = [summary[stage] for summary in summaries]
        found[stage] = {key: _mean([one[key] for one in own], key) for key, *_ in measured_in(own)}
    return found


def _mean(values: list[float], key: str) -> dict[str, Any]:
    bounds = (0.0, float("inf")) if "length" in key else (0.0, 1.0)
    return {"mean": float(np.mean(values)), "ci95": mean_interval(values, bounds=bounds), "values": values}


def seeds_table(found: dict[str, Any]) -> Table:
    """The means over seeds as a table for the terminal."""
    shown = course.of_summary(found)
    stages = [stage.name for stage in shown]
    table = Table(title=f"{found['recipe']}: means over {len(found['seeds'])} seeds, 95 % t-intervals over seeds")
    for title in ("", *(stage.column for stage in shown)):
        table.add_column(title)
    for key, name, _ in measured_in(found[stage] for stage in stages):
        cells = [found[stage][key] for stage in stages]
        table.add_row(name, *(f"{c['mean']:.4g} [{c['ci95'][0]:.4g}, {c['ci95'][1]:.4g}]" for c in cells))
    return table
