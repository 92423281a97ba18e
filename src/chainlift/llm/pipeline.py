"""A language model's recipe from beginning to end: fine-tuning, shared by the runs that agree on it, RL, summary."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from chainlift.llm import star
from chainlift.llm.context import LlmContext
from chainlift.llm.finetune import finetune
from chainlift.llm.posttrain import posttrain
from chainlift.llm.prediction import predicted
from chainlift.llm.recipe import LlmRecipe
from chainlift.report import page
from chainlift.report.terminal import Reporter
from chainlift.runs import checkpoint, environment, store
from chainlift.runs.store import RunFolder
from chainlift.stages.context import stop_on_signals
from chainlift.stages.summary import measured

LLM = (
    "long_accuracy",
    "short_accuracy",
    "length_mean_right",
    "length_mean_wrong",
    "long_share_right",
    "long_share_wrong",
)


def run(
    recipe: LlmRecipe, out: Path, reporter: Reporter, *, fresh: bool = False, with_page: bool = True
) -> dict[str, Any]:
    """The summary of the finished run of a recipe under `out`; what was done before is not done again.

    Raises ValueError for what the user can mend, FloatingPointError when training diverges, Interrupted after Ctrl-C;
    the run folder stays as it is and the same call goes on from its last checkpoint.
    """
    device = environment.pick_device(recipe.device)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    if fresh:
        store.remove(out / recipe.run_id)
    folder = RunFolder.open(out / recipe.run_id, recipe.model_dump(mode="json"), recipe.digest)
    with folder.lock(wait=False):
        if folder.done:
            reporter.say(f"{recipe.run_id} is done already")
        else:
            folder.write_environment(environment.describe(device))
            context = LlmContext(recipe, folder, reporter, device)
            with stop_on_signals(context.stop):
                _train(context, out)
            folder.finish(summarise(recipe, folder))
        if with_page and not (folder.path / "report.html").exists():
            page.write(folder.path)
    return folder.summary()


def run_finetune(recipe: LlmRecipe, out: Path, reporter: Reporter) -> Path:
    """The folder with the checkpoint of stage 1 alone."""
    device = environment.pick_device(recipe.device)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    stop = threading.Event()
    with stop_on_signals(stop):
        return _tuned(recipe, out, reporter, device, stop).path


def summarise(recipe: LlmRecipe, folder: RunFolder) -> dict[str, Any]:
    """The summary of a finished run, from its metrics and checkpoints."""
    rows = folder.rows()
    summary: dict[str, Any] = {"recipe": recipe.name, "run_id": recipe.run_id, "seed": recipe.seed}
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
        extra = {f"{mode}_{key}": final[-1][mode][key] for mode in ("greedy", "sampled") for key in LLM}
        summary[stage] = done | counts | measured(final[-1]) | extra
    summary["theory"] = predicted(recipe)
    return summary


def _train(context: LlmContext, out: Path) -> None:
    """The stages, in order."""
    recipe, folder = context.recipe, context.folder
    inside = checkpoint.latest(folder.checkpoints, "pretrain")
    if inside is None:
        shared = _tuned(recipe, out, context.reporter, context.device, context.stop)
        with shared.lock(wait=True):
            newest = checkpoint.latest(shared.checkpoints, "pretrain")
            if newest is None:
                raise ValueError(f"{shared.path} has lost its checkpoint; remove that folder and run again")
            folder.take_records(shared)
            inside = folder.checkpoints / newest.name
            checkpoint.copy(newest, inside)
    if recipe.posttrain is not None:
        stage = star.star if recipe.posttrain.algorithm == "star" else posttrain
        stage(context, recipe.posttrain, inside)


def _tuned(recipe: LlmRecipe, out: Path, reporter: Reporter, device: str, stop: threading.Event) -> RunFolder:
    """The shared folder of a recipe's stage 1."""
    first = recipe.stage_1
    shared = RunFolder.open(out / first.run_id, first.model_dump(mode="json"), first.digest)
    context = replace(LlmContext(first, shared, reporter, device), stop=stop)
    with shared.lock(wait=True):
        if shared.done:
            reporter.say(f"fine-tuning: taken from {shared.path}")
            return shared
        shared.write_environment(environment.describe(device))
        finetune(context)
        shared.finish(summarise(first, shared))
    return shared
