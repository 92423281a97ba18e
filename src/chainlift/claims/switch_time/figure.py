"""The map of when RL began: greedy accuracy and length, by the update of the switch and the updates of RL since."""

from __future__ import annotations

from chainlift.claims import Finished
from chainlift.report.figures.picture import Map, Picture


def pictures(finished: list[Finished]) -> list[Picture]:
    """(e) greedy accuracy and length, by the update at which RL began and the updates of RL since."""
    d: int = finished[0].recipe.setting("task.d")
    seeds = tuple(sorted({run.recipe.seed for run in finished}))
    at = {(run.recipe.setting("pretrain.steps"), run.recipe.seed): run.evaluations("posttrain") for run in finished}
    switches = sorted({steps for steps, _ in at}, reverse=True)
    columns = tuple(str(row["step"]) for row in at[switches[0], seeds[0]])
    panels = []
    for mode, key, unit, top in (
        ("greedy", "accuracy", "greedy accuracy", 1.0),
        ("greedy", "length_mean", "mean greedy length (tokens)", float(d)),
        ("sampled", "length_mean", "mean sampled length (tokens)", float(d)),
    ):
        values = tuple(
            tuple(tuple(float(row[mode][key]) for row in at[switch, seed]) for switch in switches) for seed in seeds
        )
        names = tuple(map(str, switches))
        low = 0.5 if key == "accuracy" else 0.0
        label = "updates of NTP before RL"
        panels.append(Map(unit, label, "updates of RL", names, columns, values, unit, (low, top)))
    return [Picture("switch-map", "RL from early and late checkpoints", seeds, tuple(panels))]
