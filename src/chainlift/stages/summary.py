"""summary.json, made from the record: what was measured at the end of each stage, beside the theory."""

from __future__ import annotations

from typing import Any

from chainlift.recipe import Recipe
from chainlift.runs import checkpoint
from chainlift.runs.store import RunFolder
from chainlift.theory import closed_forms

MODES = {
    "greedy": (
        "accuracy",
        "length_median",
        "length_mean",
        "long_share",
        "chain_exactness",
        "step_accuracy",
        "unfinished_share",
    ),
    "sampled": (
        "accuracy",
        "length_median",
        "length_mean",
        "long_share",
        "chain_exactness",
        "step_accuracy",
        "unfinished_share",
        "pass_at_k",
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
    summary["theory"] = closed_forms.predictions(**theory_arguments(recipe))
    return summary


def measured(row: dict[str, Any]) -> dict[str, Any]:
    """An evaluation row's quantities as `<mode>_<quantity>`, with their intervals."""
    found: dict[str, Any] = {}
    for mode, names in MODES.items():
        for name in names:
            if name in row[mode]:
                found[f"{mode}_{name}"] = row[mode][name]
            if f"{name}_ci95" in row[mode]:
                found[f"{mode}_{name}_ci95"] = row[mode][f"{name}_ci95"]
    return found


def theory_arguments(recipe: Recipe) -> dict[str, Any]:
    """What the closed forms ask for, from a recipe."""
    settings = recipe.task.model_dump()
    return {"d": settings["d"], "modulus": settings.get("modulus", 2), "p_cot": recipe.mixture.p_cot}
