"""Means over seeds of a recipe's runs, with Student's t intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from chainlift.measure.statistics import mean_interval
from chainlift.report.names import measured_in
from chainlift.runs import stage_views


def over_seeds(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """For each stage and quantity: `mean` over two or more summaries, its `ci95`, and `values` by seed.

    Only stages that all summaries have are included. Intervals of shares are cut to [0, 1]. If all seeds agree, the
    interval has width zero, which is a property of the sample and not a certainty.
    """
    first = summaries[0]
    means: dict[str, Any] = {"recipe": first["recipe"], "seeds": [summary["seed"] for summary in summaries]}
    means["stages"] = {
        stage: about
        for stage, about in first["stages"].items()
        if all(stage in summary["stages"] for summary in summaries)
    }
    for stage in means["stages"]:
        stage_summaries = [summary[stage] for summary in summaries]
        means[stage] = {
            key: _mean([row[key] for row in stage_summaries], key) for key, *_ in measured_in(stage_summaries)
        }
    return means


def _mean(values: list[float], key: str) -> dict[str, Any]:
    bounds = (0.0, float("inf")) if "length" in key else (0.0, 1.0)
    return {"mean": float(np.mean(values)), "ci95": mean_interval(values, bounds=bounds), "values": values}


def seeds_table(means: dict[str, Any]) -> Table:
    """Terminal table of the means over seeds."""
    views = stage_views.of_summary(means)
    stages = [stage.name for stage in views]
    table = Table(title=f"{means['recipe']}: means over {len(means['seeds'])} seeds, 95 % t-intervals over seeds")
    for title in ("", *(stage.column for stage in views)):
        table.add_column(title)
    for key, name, _ in measured_in(means[stage] for stage in stages):
        cells = [means[stage][key] for stage in stages]
        table.add_row(name, *(f"{c['mean']:.4g} [{c['ci95'][0]:.4g}, {c['ci95'][1]:.4g}]" for c in cells))
    return table
