"""What a finished run of a language model comes to: its summary.json."""

from __future__ import annotations

from typing import Any

from chainlift.llm.prediction import predicted
from chainlift.llm.recipe import LlmRecipe
from chainlift.report.terminal import OF_FORMS
from chainlift.runs import checkpoint, course
from chainlift.runs.store import RunFolder
from chainlift.stages.summary import measured
from chainlift.tasks.freshness import Freshness


def summarise(recipe: LlmRecipe, folder: RunFolder) -> dict[str, Any]:
    """The summary of a finished run, from its metrics and checkpoints."""
    rows = folder.rows()
    summary: dict[str, Any] = {"recipe": recipe.name, "run_id": recipe.run_id, "seed": recipe.seed}
    summary["stages"] = course.for_summary(recipe.model_dump())
    for stage in ("pretrain", "posttrain"):
        final = [row for row in rows if row["stage"] == stage and row["kind"] == "evaluation" and row["final"]]
        newest = checkpoint.latest(folder.checkpoints, stage)
        if not final or newest is None:
            continue
        state = checkpoint.read_state(newest)
        done: dict[str, Any] = {"steps": state.step, "sequences": state.sequences}
        if stage == "posttrain" and recipe.posttrain is not None:
            done = {"algorithm": recipe.posttrain.algorithm, "updates": state.step, "rollouts": state.sequences}
        counts = {"tokens": state.tokens, "seconds": round(state.seconds, 1), "prompts": final[-1]["greedy"]["n"]}
        extra = {f"{mode}_{key}": final[-1][mode][key] for mode in ("greedy", "sampled") for key in OF_FORMS}
        if "opened" in final[-1]:
            extra |= {"opened_accuracy": final[-1]["opened"]["accuracy"]}
        if "opening" in final[-1]:
            extra |= {"opening_probability": final[-1]["opening"]["probability"]}
        summary[stage] = done | counts | measured(final[-1]) | extra
    # Generated problems are split by chainlift itself; how disjoint a published data set is, `llm prepare` measures.
    if getattr(recipe.data, "name", None) == "word_problems":
        summary |= Freshness(True, None, 0.0).as_dict()
    summary["theory"] = predicted(recipe)
    return summary
