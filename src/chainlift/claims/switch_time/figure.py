"""Figure of the switch from next-token prediction to RL: accuracy and length by updates before and after it."""

from __future__ import annotations

from chainlift.claims import Finished
from chainlift.report.figures.picture import Map, Picture


def pictures(finished: list[Finished]) -> list[Picture]:
    """(e) Maps of greedy accuracy and of lengths, by the updates before RL and those of RL."""
    d: int = finished[0].recipe.setting("task.d")
    seeds = tuple(sorted({run.recipe.seed for run in finished}))
    rows = {(run.recipe.setting("pretrain.steps"), run.recipe.seed): run.evaluations("posttrain") for run in finished}
    switches = sorted({steps for steps, _ in rows}, reverse=True)
    columns = tuple(str(row["step"]) for row in rows[switches[0], seeds[0]])
    panels = []
    for mode, key, unit, top in (
        ("greedy", "accuracy", "greedy accuracy", 1.0),
        ("greedy", "length_mean", "mean greedy length (tokens)", float(d)),
        ("sampled", "length_mean", "mean sampled length (tokens)", float(d)),
    ):
        values = tuple(
            tuple(tuple(float(row[mode][key]) for row in rows[switch, seed]) for switch in switches) for seed in seeds
        )
        names = tuple(map(str, switches))
        low = 0.5 if key == "accuracy" else 0.0
        label = "updates of NTP before RL"
        panels.append(Map(unit, label, "updates of RL", names, columns, values, unit, (low, top)))
    return [Picture("switch-map", "RL from early and late checkpoints", seeds, tuple(panels))]
