"""A language model's recipe from beginning to end: fine-tuning, shared by the runs that agree on it, RL, summary."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from chainlift import processes
from chainlift.llm import launch, models, star, training
from chainlift.llm.context import LlmContext
from chainlift.llm.finetune import finetune
from chainlift.llm.posttrain import posttrain
from chainlift.llm.prediction import predicted
from chainlift.llm.recipe import LlmRecipe
from chainlift.report.terminal import Reporter
from chainlift.runs import checkpoint, damage, environment, together
from chainlift.runs.store import RunFolder
from chainlift.stages import last_page
from chainlift.stages.context import stop_on_signals
from chainlift.stages.summary import measured
from chainlift.tasks.freshness import Freshness

LLM = (
    "long_accuracy",
    "short_accuracy",
    "length_mean_right",
    "length_mean_wrong",
    "long_share_right",
    "long_share_wrong",
)


def run(
    recipe: LlmRecipe,
    out: Path,
    reporter: Reporter,
    *,
    fresh: bool = False,
    with_page: bool = True,
    wait: bool = False,
) -> dict[str, Any]:
    """The summary of the finished run of a recipe under `out`; what was done before is not done again.

    wait: for another process that is at work in the folder, instead of refusing. Of several processes that were
    launched together each must call this; the first one writes and speaks.

    Raises ValueError for what the user can mend, FloatingPointError when training diverges, Interrupted after Ctrl-C;
    the run folder stays as it is and the same call goes on from its last checkpoint.
    """
    device, reporter = _begin(recipe, reporter)
    folder = together.opened(out / recipe.run_id, recipe.model_dump(mode="json"), recipe.digest, fresh=fresh)
    context = LlmContext(recipe, folder, reporter, device)
    with stop_on_signals(context.stop), together.hold(folder, wait=wait, meanwhile=context.stop_if_asked):
        if processes.from_first(folder.done):
            reporter.say(f"{recipe.run_id} is done already")
        else:
            with context.grading():
                _train(context, out, fresh=fresh)
            _write_end(context)
        if with_page and processes.is_first():
            last_page.written(folder.path, reporter.say)
    return folder.summary()


def run_stage_1(recipe: LlmRecipe, out: Path, reporter: Reporter) -> None:
    """Fine-tuning of a recipe in its shared folder under `out`, unless it is there; raises what `run` raises."""
    device, reporter = _begin(recipe, reporter)
    stop = threading.Event()
    with stop_on_signals(stop):
        _tuned(recipe, out, reporter, device, stop)


def _begin(recipe: LlmRecipe, reporter: Reporter) -> tuple[str, Reporter]:
    """(device, reporter) of this process, which is one of those that were launched together."""
    try:
        device = environment.pick_device(recipe.device)
    except ValueError as error:
        raise ValueError(f"{recipe.name}: {error}; --dry-run shows what it would cost on GPUs") from error
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    models.need_extra()
    launch.join()
    reporter = reporter if processes.is_first() else Reporter(quiet=True)
    if (note := environment.device_note(recipe.device)) is not None:
        reporter.say(note)
    return device, reporter


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


def _train(context: LlmContext, out: Path, *, fresh: bool) -> None:
    """The stages, in order."""
    recipe, folder = context.recipe, context.folder
    if processes.is_first():
        folder.write_environment(environment.describe(context.device))
    inside = processes.from_first(checkpoint.latest(folder.checkpoints, "pretrain"))
    if inside is None:
        shared = _tuned(recipe, out, context.reporter, context.device, context.stop, fresh=fresh)
        with together.hold(shared, wait=True, meanwhile=context.stop_if_asked):
            inside = processes.first_says(lambda: together.take_stage_1(shared, folder))
    if recipe.posttrain is not None:
        stage = star.star if recipe.posttrain.algorithm == "star" else posttrain
        stage(context, recipe.posttrain, inside)


def _tuned(
    recipe: LlmRecipe, out: Path, reporter: Reporter, device: str, stop: threading.Event, *, fresh: bool = False
) -> RunFolder:
    """The shared folder of a recipe's stage 1; fresh: a damaged one begins again."""
    first = recipe.stage_1
    path, content = out / first.run_id, first.model_dump(mode="json")
    if fresh and (reason := processes.first_says(lambda: damage.empty_if_damaged(path, content, first.digest))):
        reporter.say(f"fine-tuning: {path} was damaged and begins again ({reason})")
    shared = together.opened(path, content, first.digest)
    context = replace(LlmContext(first, shared, reporter, device), stop=stop)
    with together.hold(shared, wait=True, meanwhile=context.stop_if_asked):
        if processes.from_first(shared.done):
            reporter.say(f"fine-tuning: taken from {shared.path}")
            return shared
        if processes.is_first():
            shared.write_environment(environment.describe(device))
        with context.grading():
            finetune(context)
        training.free()  # before RL opens a model of its own
        _write_end(context)
    return shared


def _write_end(context: LlmContext) -> None:
    """What stands in a folder whose run is done."""
    if processes.is_first():
        context.folder.finish(summarise(context.recipe, context.folder))
    processes.wait_for_all()
