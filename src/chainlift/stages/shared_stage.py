"""Stage 1 in a folder of its own, which all runs that agree on it share: `pretrain-<digest>-s<seed>`.

It is copied with its records into every run that begins with it, so that a run folder is whole by itself. How a run
measures is no part of stage 1: whoever trains it measures as it likes, and a run that measures the end of stage 1 by
other settings does so again from the checkpoint, for itself. What was measured on the way is copied as it is, since the
weights of those steps are gone; each row says of how many prompts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from chainlift import processes
from chainlift.measure.occasions import at_the_end
from chainlift.recipe import AnyRecipe, Recipe
from chainlift.report.terminal import Reporter
from chainlift.runs import checkpoint, damage, environment, together
from chainlift.runs.store import RunFolder
from chainlift.settings import Settings
from chainlift.stages.context import Context
from chainlift.stages.pretrain import pretrain
from chainlift.stages.summary import summarise

STAGE = "pretrain"

AnySettings = TypeVar("AnySettings", bound=Settings)


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
        end = _measured_again(context, shared)
        return processes.first_says(lambda: together.take_stage_1(shared, folder, end))


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
    shared, first = opened(recipe.stage_1, out, fresh=fresh, say=reporter.say, what="next-token prediction")
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


def _measured_again(context: Context, shared: RunFolder) -> dict[str, list[dict[str, Any]]] | None:
    """The record of a measurement at the end of stage 1 by this run's own settings; None if the shared one is that."""
    newest = to_measure_again(shared, context.recipe.evaluate)
    if newest is None:
        return None
    model = context.new_model()
    state = checkpoint.restore(newest, model, None)
    context.reporter.say(f"next-token prediction: measured again, on {context.recipe.evaluate.prompts} prompts")
    return {"metrics.jsonl": [context.measured(state, model, final=True, show=True)]}


def opened(
    first: AnyRecipe, out: Path, *, fresh: bool, say: Callable[[str], None], what: str
) -> tuple[RunFolder, AnyRecipe]:
    """(the shared folder of a recipe of stage 1 alone, that recipe with the measurements of the run that began it).

    Who goes on with what another run began measures as that run did: one record, one way of measuring. what: stage 1
    in words, for what is said where `fresh` empties a damaged folder.
    """
    path, content, kind = out / first.run_id, first.model_dump(mode="json"), type(first.setting("evaluate"))

    def empty_if_damaged() -> str | None:
        return damage.empty_if_damaged(path, content, first.digest, lambda shared: _evaluation_of(shared, kind))

    if fresh and (reason := processes.first_says(empty_if_damaged)):
        say(f"{what}: {path} was damaged and begins again ({reason})")
    shared = together.opened(path, content, first.digest)
    evaluate = processes.first_says(lambda: _evaluation_of(shared, kind))
    return shared, first.model_copy(update={"evaluate": evaluate})


def to_measure_again(shared: RunFolder, wanted: Settings) -> Path | None:
    """The checkpoint of a finished stage 1 whose end was measured by settings that differ from `wanted`, else None."""

    def find() -> Path | None:
        measured = at_the_end(_evaluation_of(shared, type(wanted)))
        return None if measured == at_the_end(wanted) else checkpoint.latest(shared.checkpoints, STAGE)

    return processes.first_says(find)  # None, too, for a lost checkpoint, which the copying refuses


def _evaluation_of(shared: RunFolder, kind: type[AnySettings]) -> AnySettings:
    """How the run that began a shared stage 1 measures; ValueError if its recipe is damaged."""
    try:
        return kind(**shared.recipe()["evaluate"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{shared.path / 'recipe.yaml'} is damaged; use --fresh to begin again") from error
