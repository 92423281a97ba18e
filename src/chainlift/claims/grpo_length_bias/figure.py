"""Figure of the claim on GRPO's length bias: the mediator and the accuracy over updates, by aggregate and weight."""

from __future__ import annotations

from chainlift.claims import Finished
from chainlift.report.figures.picture import Line, Lines, Picture
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.recipe import Recipe

ADVANTAGES = ("group_zscore", "group_mean")
AGGREGATES = ("sequence_mean", "token_mean", "max_length")
WEIGHT = 0.5
NAMES = {
    "group_zscore": "z-score",
    "group_mean": "mean",
    "sequence_mean": "sequence mean",
    "token_mean": "token mean",
    "max_length": "constant length",
}
PANELS = (
    ("sampled", "accuracy", "sampled accuracy"),
    ("greedy", "accuracy", "greedy accuracy"),
    ("decision", "first", "P(right opening)"),
    ("decision", "go_on", "P(go on) after the right opening"),
    ("decision", "go_on_elsewhere", "P(go on) after a wrong opening"),
)
"""(part of an evaluation, key, name) of each panel."""


def cell(recipe: Recipe) -> tuple[str, str, float | None]:
    """(advantage, aggregate, weight of decisions) of a run's RL."""
    stage = recipe.stages["posttrain"]
    assert isinstance(stage, ReinforcementLearning)
    objective = stage.objective
    return objective.advantage, objective.aggregate, objective.decision_weight


def name_of(advantage: str, aggregate: str, weight: float | None = None) -> str:
    """The name of a cell: `z-score, sequence mean, decisions apart`."""
    return f"{NAMES[advantage]}, {NAMES[aggregate]}{'' if weight is None else ', decisions apart'}"


def pictures(finished: list[Finished]) -> list[Picture]:
    """A figure for each kind of advantage: measurements over updates, a curve for each aggregate and weight."""
    seeds = tuple(sorted({run.recipe.seed for run in finished}))
    rows = []
    for advantage in ADVANTAGES:
        panels = tuple(
            Lines(label, "RL updates", label, _curves(finished, advantage, part, key), form="curves", share=True)
            for part, key, label in PANELS
        )
        title = f"What decides the form during RL: advantages by {NAMES[advantage]}"
        rows.append(Picture(f"grpo-length-bias-{advantage.replace('_', '-')}", title, seeds, panels))
    return rows


def _curves(finished: list[Finished], advantage: str, part: str, key: str) -> tuple[Line, ...]:
    """A curve for each aggregate and weight."""
    curves = []
    for aggregate in AGGREGATES:
        for weight in (None, WEIGHT):
            runs = [run for run in finished if cell(run.recipe) == (advantage, aggregate, weight)]
            rows = [run.evaluations("posttrain") for run in sorted(runs, key=lambda run: run.recipe.seed)]
            if rows:
                x = tuple(float(row["step"]) for row in rows[0])
                values = tuple(tuple(float(row[part][key]) for row in seed) for seed in rows)
                curves.append(Line(name_of(advantage, aggregate, weight).partition(", ")[2], x, values))
    return tuple(curves)
