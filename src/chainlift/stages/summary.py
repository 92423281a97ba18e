"""summary.json, made from the record: what was measured at the end of each stage, beside the theory."""

from __future__ import annotations

from typing import Any

from chainlift.recipe import Recipe
from chainlift.runs import checkpoint
from chainlift.runs.store import RunFolder
from chainlift.stages.prediction import predicted
from chainlift.tasks import registry as tasks
from chainlift.tasks.freshness import freshness

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
    "greedy": SHARED,
    "sampled": (*SHARED, "pass_at_k"),
    "exact": ("n", "enumerated", "accuracy", "long_share", "chain_exactness", "long_share_sem"),
    "decision": (
        "first",
        "go_on",
        "go_on_elsewhere",
        "first_log_odds",
        "first_lead_log_odds",
        "go_on_log_odds",
        "go_on_elsewhere_log_odds",
    ),
}


def summarise(recipe: Recipe, folder: RunFolder) -> dict[str, Any]:
    """The summary of a finished run, from its metrics and checkpoints."""
    rows = folder.rows()
    summary: dict[str, Any] = {"recipe": recipe.name, "run_id": recipe.run_id, "seed": recipe.seed}
    for stage in ("pretrain", "posttrain", "continued_pretrain"):
        final = [row for row in rows if row["stage"] == stage and row["kind"] == "evaluation" and row["final"]]
        if not final:
            continue
        newest = checkpoint.latest(folder.checkpoints, stage)
        assert newest is not None
        state = checkpoint.read_state(newest)
        if stage == "posttrain" and recipe.posttrain is not None:
            done = {"algorithm": recipe.posttrain.algorithm, "updates": state.step, "rollouts": state.sequences}
        else:
            done = {"steps": state.step, "sequences": state.sequences}
        counts = {"tokens": state.tokens, "seconds": round(state.seconds, 1), "prompts": final[-1]["greedy"]["n"]}
        summary[stage] = done | counts | measured(final[-1])
    task = tasks.build(recipe.task)
    summary |= freshness(task, _drawn(recipe, summary)).as_dict()
    summary["theory"] = predicted(recipe) | {"chance": task.chance}
    return summary


def _drawn(recipe: Recipe, summary: dict[str, Any]) -> int:
    """Prompts drawn in training by the model that has seen most: stage 1's and those of RL, or of the baseline."""
    after = [0]
    if recipe.posttrain is not None and "posttrain" in summary:
        after.append(summary["posttrain"]["rollouts"] // recipe.posttrain.group_size)
    if "continued_pretrain" in summary:
        after.append(summary["continued_pretrain"]["sequences"])
    return summary["pretrain"]["sequences"] + max(after)


def measured(row: dict[str, Any]) -> dict[str, Any]:
    """An evaluation row's quantities as `<mode>_<quantity>`, with their intervals."""
    found: dict[str, Any] = {}
    for mode, names in MODES.items():
        if mode not in row:  # not every model and task has exact expectations and decisions
            continue
        for name in names:
            if name in row[mode]:
                found[f"{mode}_{name}"] = row[mode][name]
            if f"{name}_ci95" in row[mode]:
                found[f"{mode}_{name}_ci95"] = row[mode][f"{name}_ci95"]
    return found
