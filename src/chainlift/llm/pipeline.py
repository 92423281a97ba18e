"""A language model's recipe from beginning to end: fine-tuning, shared by the runs that agree on it, RL, summary."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch

from chainlift import processes
from chainlift.llm import launch, models, shared_finetuning, star
from chainlift.llm.context import LlmContext
from chainlift.llm.posttrain import posttrain
from chainlift.llm.recipe import LlmRecipe
from chainlift.llm.summary import summarise
from chainlift.report import last_page
from chainlift.report.terminal import Reporter
from chainlift.runs import environment, together
from chainlift.stages.context import stop_on_signals


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
            processes.first_says(lambda: folder.finish(summarise(recipe, folder)))
        if with_page and processes.is_first():
            last_page.written(folder.path, reporter.say)
    return folder.summary()


def run_stage_1(recipe: LlmRecipe, out: Path, reporter: Reporter) -> None:
    """Fine-tuning of a recipe in its shared folder under `out`, unless it is there; raises what `run` raises."""
    device, reporter = _begin(recipe, reporter)
    stop = threading.Event()
    with stop_on_signals(stop):
        shared_finetuning.train(recipe, out, reporter, device, stop)


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


def _train(context: LlmContext, out: Path, *, fresh: bool) -> None:
    """The stages, in order."""
    recipe, folder = context.recipe, context.folder
    if processes.is_first():
        folder.write_environment(environment.describe(context.device))
    tuned = shared_finetuning.take(context, out, fresh=fresh)
    if recipe.posttrain is not None:
        stage = star.star if recipe.posttrain.algorithm == "star" else posttrain
        stage(context, recipe.posttrain, tuned)
