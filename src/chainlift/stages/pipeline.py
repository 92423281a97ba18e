"""A run of a recipe: its stages in order, each shared between the runs that agree on it, then its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from chainlift import distributed, yaml_text
from chainlift.models import families, number_types
from chainlift.models.pretrained import loading
from chainlift.reading import StrPath
from chainlift.runs import environment, shared_folder
from chainlift.runs.reporter import Reporter, Silent
from chainlift.runs.store import RunFolder
from chainlift.stages import inputs, sharing
from chainlift.stages.context import Context
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.planning import cost, needs
from chainlift.stages.planning.expectation import expectation
from chainlift.stages.planning.prediction import predicted
from chainlift.stages.recipe import Recipe
from chainlift.stages.run_context import RunContext, stop_on_signals
from chainlift.stages.stage import Stage
from chainlift.stages.summary import summarize
from chainlift.stages.task import task_of

Page = Callable[[Path, Callable[[str], None]], Path | None]
"""Makes the page of a finished run's folder, and may print why it cannot (report/pages/last_page.py)."""


@dataclass(frozen=True)
class Result:
    """A finished run."""

    folder: Path
    summary: dict[str, Any]
    report: Path | None
    """Its page; None if none was requested, or if it could not be written."""


def run(
    recipe: Recipe,
    out: StrPath,
    reporter: Reporter,
    *,
    fresh: bool = False,
    page: Page | None = None,
    wait: bool = False,
    shard: bool = False,
) -> Result:
    """Run a recipe under `out`, or finish its run; stages that are done, by this or another process, are kept.

    page: makes the page of the finished run; None: no page. wait: for another process that works in the folder, instead
    of refusing. shard: shard the model's weights between processes (learning/sharding.py). All processes that were
    launched together must call this; rank 0 reads, writes and prints.

    Raises ValueError for what the user can fix, FloatingPointError when training diverges, Interrupted after Ctrl-C.
    In each case the run folder stays as it is, and the same call resumes from its last checkpoint.
    """
    out = Path(out)
    device, reporter = _begin(recipe, reporter, shard=shard)
    folder = shared_folder.open_folder(out / recipe.run_id, recipe.model_dump(mode="json"), recipe.digest, fresh=fresh)
    context = _context(recipe, folder, reporter, device, shard=shard)
    with _locked(context, wait=wait), closing(context):
        if distributed.broadcast(folder.done):
            distributed.run_on_rank0(lambda: _check_unchanged(recipe, folder))
            reporter.say(f"{recipe.run_id} is done already")
            context.mirror_finished_run()
        else:
            distributed.run_on_rank0(lambda: folder.write_environment(environment.describe(device.type)))
            expected = expectation(predicted(recipe), with_rl=_has_predicted_rl(recipe))
            if expected is not None:
                reporter.say(expected)
            _ = context.digests  # before files are read
            context.read_task()
            if fresh:
                distributed.run_on_rank0(lambda: sharing.forget(recipe, out))
            with stop_on_signals(context.stop), context.mirrored():
                for name in recipe.stages:
                    sharing.carry_out(context, name, out, fresh=fresh)
            distributed.run_on_rank0(lambda: folder.finish(summarize(recipe, folder)))
        report = None if page is None else distributed.run_on_rank0(lambda: page(folder.path, reporter.say))
    return Result(folder.path, distributed.run_on_rank0(folder.summary), report)


@contextmanager
def _locked(context: RunContext, *, wait: bool) -> Iterator[None]:
    """Lock the run's folder inside the block; Ctrl-C while waiting raises Interrupted, as in a stage."""
    with ExitStack() as stack:
        with stop_on_signals(context.stop):
            stack.enter_context(shared_folder.lock(context.folder, wait=wait, meanwhile=context.stop_if_asked))
        yield


def plan(recipe: Recipe, out: Path) -> str:
    """The plan of a run as YAML: the resolved recipe, then comments with its size, time and folder."""
    lines = _plan_by_trl(recipe) if recipe.by_trl else _plan(recipe)
    return "\n".join(
        [
            yaml_text.dump(recipe.model_dump(mode="json")).rstrip(),
            *(f"# {name}: {_size(stage)}; {_shared_as(recipe, name)}" for name, stage in recipe.stages.items()),
            *(f"# {line}" for line in lines),
            f"# folder: {out / recipe.run_id}",
        ]
    )


def _plan(recipe: Recipe) -> list[str]:
    needs.check(recipe, environment.pick_device(recipe.device))
    model = families.build(recipe.model, task_of(recipe))
    return [f"model: {model.describe()}", f"time here, from a few timed updates: {cost.estimate(recipe)}"]


def _plan_by_trl(recipe: Recipe) -> list[str]:
    from chainlift.stages.trl import plan

    return plan.lines(recipe)


def _context(recipe: Recipe, folder: RunFolder, reporter: Reporter, device: torch.device, *, shard: bool) -> RunContext:
    """The context of the recipe's stages."""
    if recipe.by_trl:
        from chainlift.stages.trl.context import TextContext

        return TextContext(recipe, folder, reporter, device, shard=shard)
    return Context(recipe, folder, reporter, device, shard=shard)


def _begin(recipe: Recipe, reporter: Reporter, *, shard: bool = False) -> tuple[torch.device, Reporter]:
    """Check the recipe and join the process group; returns (device, reporter) of this process."""
    device = _device(recipe)
    needs.check(recipe, device.type)
    environment.use_threads(recipe.threads)
    if recipe.compile:
        environment.check_compiler(device)
    if recipe.by_trl:
        loading.require_llm_extra()
    if shard and recipe.by_trl:
        raise ValueError("--shard divides models of our own engine; others are divided by accelerate launch")
    distributed.join(device)
    if shard and distributed.world_size() == 1:
        raise ValueError("--shard divides a model between processes: start several of them with torchrun")
    reporter = reporter if distributed.is_rank0() else Silent()
    types = {"model.weights": getattr(recipe.model, "weights", "float32"), "dtype": recipe.dtype}
    for note in (environment.device_note(recipe.device), number_types.slow_note(types, device.type)):
        if note is not None:
            reporter.say(note)
    return device, reporter


def _device(recipe: Recipe) -> torch.device:
    """The device of this process; ValueError if it is missing."""
    try:
        return torch.device(environment.local_device(recipe.device))
    except ValueError as error:
        if not recipe.by_trl:
            raise
        raise ValueError(f"{error}; --dry-run shows what it would cost on GPUs") from error


def _check_unchanged(recipe: Recipe, folder: RunFolder) -> None:
    """ValueError if files that a stage of a finished run was made from have changed; missing ones tell nothing."""
    if inputs.are_missing(recipe.task, recipe.model):
        return
    for name in recipe.stages:
        sharing.check_unchanged(folder, name, recipe.stage_digest(name))


def _has_predicted_rl(recipe: Recipe) -> bool:
    """Whether theory predicts a stage of RL."""
    known = predicted(recipe)["stages"]
    return any(isinstance(stage, ReinforcementLearning) and name in known for name, stage in recipe.stages.items())


def _size(stage: Stage) -> str:
    """Title and number of updates of a stage."""
    steps = stage.total_steps
    return stage.title if steps is None else f"{stage.title}, {steps:,} updates"


def _shared_as(recipe: Recipe, name: str) -> str:
    digest = recipe.stage_digest(name)
    return f"shared by all runs that agree on it ({sharing.FOLDER}/{name}-{digest}-s{recipe.seed})"
