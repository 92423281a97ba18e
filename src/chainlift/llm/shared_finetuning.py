"""Fine-tuning in a folder of its own, shared by the runs that agree on it, as next-token prediction is.

With adapters, what is measured again is the model with them in its weights, which
rounds otherwise than the two side by side.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from chainlift import processes
from chainlift.llm import models, shared_stage, training
from chainlift.llm.context import LlmContext
from chainlift.llm.finetune import STAGE, finetune
from chainlift.llm.recipe import LlmRecipe
from chainlift.llm.summary import summarise
from chainlift.report.terminal import Reporter
from chainlift.runs import checkpoint, environment, together
from chainlift.runs.store import RunFolder


def take(context: LlmContext, out: Path, *, fresh: bool = False) -> Path:
    """Fine-tuning's checkpoint inside the run folder, trained only if no run under `out` has trained it yet.

    fresh: a damaged fine-tuning is trained again.
    """
    folder = context.folder
    inside = processes.first_says(lambda: checkpoint.latest(folder.checkpoints, STAGE))
    if inside is not None:
        return inside
    shared = train(context.recipe, out, context.reporter, context.device, context.stop, fresh=fresh)
    with together.hold(shared, wait=True, meanwhile=context.stop_if_asked):
        end = _measured_again(context, shared)
        return processes.first_says(lambda: shared_stage.take_stage_1(shared, folder, end))


def train(
    recipe: LlmRecipe, out: Path, reporter: Reporter, device: str, stop: threading.Event, *, fresh: bool = False
) -> RunFolder:
    """The shared folder of a recipe's fine-tuning, trained by this process or, if it comes later, by another."""
    shared, first = shared_stage.opened(recipe.stage_1, out, fresh=fresh, say=reporter.say, what="fine-tuning")
    context = replace(LlmContext(first, shared, reporter, device), stop=stop)
    with together.hold(shared, wait=True, meanwhile=context.stop_if_asked):
        if processes.from_first(shared.done):
            reporter.say(f"fine-tuning: taken from {shared.path}")
            return shared
        processes.first_says(lambda: shared.write_environment(environment.describe(device)))
        with context.grading():
            finetune(context)
        training.free()  # before RL opens a model of its own
        processes.first_says(lambda: shared.finish(summarise(first, shared)))
    return shared


def _measured_again(context: LlmContext, shared: RunFolder) -> dict[str, list[dict[str, Any]]] | None:
    """The record of a measurement at the end by this run's own settings; None if the shared one is that."""
    newest = shared_stage.to_measure_again(shared, context.recipe.evaluate)
    if newest is None:
        return None
    context.reporter.say(f"fine-tuning: measured again, on {context.recipe.evaluate.prompts} problems")
    state = processes.first_says(lambda: checkpoint.read_state(newest))
    model, tokenizer = models.open_folder(str(newest), weights=context.recipe.model.weights)
    end = context.measured(state, model.to(context.device), tokenizer, final=True, show=True)
    del model
    training.free()
    return end
