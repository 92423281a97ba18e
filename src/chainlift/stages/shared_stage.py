"""Stage 1 in a folder of its own, which all runs that agree on it share: `pretrain-<digest>-s<seed>`.

It is copied with its records into every run that begins with it, so that a run folder is whole by itself. How a run
measures is no part of stage 1: whoever trains it measures as it likes, and a run that measures the end of stage 1 by
other settings does so again from the checkpoint, for itself. What was measured on the way is copied as it is, since the
weights of those steps are gone; each row says of how many prompts.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch

from chainlift import processes
from chainlift.measure.evaluate import EvaluateSettings
from chainlift.recipe import Recipe
from chainlift.report.terminal import Reporter
from chainlift.runs import checkpoint, damage, environment, together
from chainlift.runs.store import RunFolder
from chainlift.stages.context import Context
from chainlift.stages.pretrain import pretrain
from chainlift.stages.summary import summarise

STAGE = "pretrain"


def take(context: Context, out: Path, *, fresh: bool = False) -> Path:
    """Stage 1's last checkpoint inside the run folder, trained only if no run under `out` has trained it yet.

    The checkpoint is copied last: where it stands, the records stand too. fresh: a damaged stage 1 is trained again.
    """
    folder = context.folder
    inside = processes.first_says(lambda: checkpoint.latest(folder.checkpoints, STAGE))
    if inside is not None:
        return inside
    shared = train(
        context.recipe, out, context.reporter, context.device, context.stop, shard=context.shard, fresh=fresh
    )
    with together.hold(shared, wait=True, meanwhile=context.stop_if_asked):
        final = _measured_again(context, shared)
        return processes.first_says(lambda: together.take_stage_1(shared, folder, final))


def train(
    recipe: Recipe,
    out: Path,
    reporter: Reporter,
    device: torch.device,
    stop: threading.Event,
    *,
    shard: bool = False,
    fresh: bool = False,
) -> RunFolder:
    """The shared folder of a recipe's stage 1, trained by this process or, if it comes later, by another."""
    first = recipe.stage_1
    path, content = out / first.run_id, first.model_dump(mode="json")
    if fresh and (
        reason := processes.first_says(lambda: damage.empty_if_damaged(path, content, first.digest, _evaluation_of))
    ):
        reporter.say(f"next-token prediction: {path} was damaged and begins again ({reason})")
    shared = together.opened(path, content, first.digest)
    # Who goes on with what another run began measures as that run did: one record, one way of measuring.
    first = first.model_copy(update={"evaluate": processes.first_says(lambda: _evaluation_of(shared))})
    context = Context(first, shared, reporter, device, stop, shard)
    with together.hold(shared, wait=True, meanwhile=context.stop_if_asked):
        if processes.from_first(shared.done):
            reporter.say(f"next-token prediction: taken from {shared.path}")
            return shared
        processes.first_says(lambda: shared.write_environment(environment.describe(device.type)))
        with context.mirrored():
            pretrain(context, first.pretrain)
        processes.first_says(lambda: shared.finish(summarise(first, shared)))
    return shared


def _measured_again(context: Context, shared: RunFolder) -> dict[str, Any] | None:
    """The row of a measurement at the end of stage 1 by this run's own settings; None if the shared row is one."""

    def at_the_end(settings: EvaluateSettings) -> tuple[int, ...]:
        samples = settings.pass_at_k_samples if settings.pass_at_k_prompts else 0
        return settings.prompts, settings.pass_at_k_prompts, samples

    shared_settings = processes.first_says(lambda: _evaluation_of(shared))
    if at_the_end(shared_settings) == at_the_end(context.recipe.evaluate):
        return None
    newest = processes.first_says(lambda: checkpoint.latest(shared.checkpoints, STAGE))
    if newest is None:
        return None  # which the copying refuses
    model = context.new_model()
    state = checkpoint.restore(newest, model, None)
    context.reporter.say(f"next-token prediction: measured again, on {context.recipe.evaluate.prompts} prompts")
    return context.measured(state, model, final=True, show=True)


def _evaluation_of(shared: RunFolder) -> EvaluateSettings:
    """How the run that began a shared stage 1 measures; ValueError if its recipe is damaged."""
    try:
        return EvaluateSettings(**shared.recipe()["evaluate"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{shared.path / 'recipe.yaml'} is damaged; use --fresh to begin again") from error
