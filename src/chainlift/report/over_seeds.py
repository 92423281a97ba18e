"""Means over seeds, with Student's t intervals: what the recipe does, where one summary tells what one run did."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from chainlift.measure.statistics import mean_interval
from chainlift.report.names import STAGE_TITLES, column_title, measured_in


def over_seeds(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Per stage and quantity the `mean` over two or more seeds' summaries, its `ci95` and the `values`, seed by seed.

    Shares are cut to [0, 1]. Where all seeds agree the interval has no width: the seeds say no more than that.
    """
    found: dict[str, Any] = {"recipe": summaries[0]["recipe"], "seeds": [summary["seed"] for summary in summaries]}
    for stage in STAGE_TITLES:
        if all(stage in summary for summary in summaries):
            own = [summary[stage] for summary in summaries]
            found[stage] = {key: _mean([one[key] for one in own], key) for key, *_ in measured_in(own)}
    return found


def _mean(values: list[float], key: str) -> dict[str, Any]:
    bounds = (0.0, float("inf")) if "length" in key else (0.0, 1.0)
    return {"mean": float(np.mean(values)), "ci95": mean_interval(values, bounds=bounds), "values": values}


def seeds_table(found: dict[str, Any]) -> Table:
    """The means over seeds as a table for the terminal."""
    stages = [stage for stage in STAGE_TITLES if stage in found]
    table = Table(title=f"{found['recipe']}: means over {len(found['seeds'])} seeds, 95 % t-intervals over seeds")
    for title in ("", *map(column_title, stages)):
        table.add_column(title)
    for key, name, _ in measured_in(found[stage] for stage in stages):
        cells = [found[stage][key] for stage in stages]
        table.add_row(name, *(f"{c['mean']:.4g} [{c['ci95'][0]:.4g}, {c['ci95'][1]:.4g}]" for c in cells))
    return table
