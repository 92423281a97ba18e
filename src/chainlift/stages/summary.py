"""summary.json, from the record: the measurements at the end of each stage, and the theory's predictions."""

from __future__ import annotations

from typing import Any

from chainlift.runs import checkpoint, stage_views
from chainlift.runs.shapes import FORM_METRICS
from chainlift.runs.store import RunFolder
from chainlift.stages import starts
from chainlift.stages.planning.prediction import predicted
from chainlift.stages.planning.reference import reference
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import Task
from chainlift.tasks.freshness import Freshness, freshness
from chainlift.text.task import TextTask

SHARED = (
    "accuracy",
    "length_median",
    "length_mean",
    "long_share",
    "chain_exactness",
    "step_accuracy",
    "unfinished_share",
    "digit_accuracy",
)
MODES = {
    "greedy": (*SHARED, *FORM_METRICS),
    "sampled": (*SHARED, *FORM_METRICS, "pass_at_k"),
    "exact": ("n", "enumerated", "accuracy", "long_share", "chain_exactness", "long_share_sem"),
    "decision": (
        "first",
        "go_on",
        "go_on_elsewhere",
        "first_log_odds",
        "first_lead_log_odds",
        "go_on_log_odds",
        "go_on_elsewhere_log_odds",
        "long_opening",
        "long_opening_log_odds",
    ),
    "forced_long": ("accuracy",),
    "long_prefix": ("probability",),
}


def summarize(recipe: Recipe, folder: RunFolder) -> dict[str, Any]:
    """The summary of a finished run, from its metrics and checkpoints, with one object for each stage."""
    rows = folder.rows()
    summary: dict[str, Any] = {"recipe": recipe.name, "run_id": recipe.run_id, "seed": recipe.seed}
    num_drawn: dict[str, int] = {}
    summary["stages"] = stage_views.for_summary(recipe.model_dump())
    for name, stage in recipe.stages.items():
        state = checkpoint.end(folder.checkpoints, name)
        final = [row for row in rows if row["stage"] == name and row["kind"] == "evaluation" and row["final"]]
        num_drawn[name] = stage.prompts_drawn(state)
        counts = {"tokens": state.tokens, "seconds": round(state.seconds, 1), "prompts": final[-1]["greedy"]["n"]}
        summary[name] = {"kind": stage.kind} | stage.counts(state) | counts | measured(final[-1])
    task = tasks.make(recipe.task)
    summary |= _freshness(task, _most_drawn(recipe, num_drawn))
    theory = predicted(recipe)
    summary["theory"] = theory | {"reference": reference(recipe, theory, rows), "chance": task.chance}
    return summary


def _freshness(task: Task | TextTask, num_drawn: int) -> dict[str, Any]:
    """Freshness of the measured prompts; {} for published problems, whose overlap `chainlift tasks` measures."""
    if isinstance(task, TextTask):
        return Freshness(True, None, 0.0).as_dict() if task.is_held_out else {}
    return freshness(task, num_drawn).as_dict()


def _most_drawn(recipe: Recipe, num_drawn: dict[str, int]) -> int:
    """Most prompts drawn in training by any model of the run, summed over the stages that it builds on."""
    cumulative: dict[str, int] = {}
    for name, stage in recipe.stages.items():
        start, _ = starts.split(stage.start, recipe.stages)
        cumulative[name] = num_drawn[name] + cumulative.get(start or "", 0)
    return max(cumulative.values())


def measured(row: dict[str, Any]) -> dict[str, Any]:
    """{`<mode>_<quantity>`: value} of an evaluation row, with confidence intervals."""
    quantities: dict[str, Any] = {}
    for mode, names in MODES.items():
        if mode not in row:  # not every model and task has exact expectations and decisions
            continue
        for name in names:
            if name in row[mode]:
                quantities[f"{mode}_{name}"] = row[mode][name]
            if f"{name}_ci95" in row[mode]:
                quantities[f"{mode}_{name}_ci95"] = row[mode][f"{name}_ci95"]
    return quantities
