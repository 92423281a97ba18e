"""A recipe from beginning to end: stage 1 (shared between runs), RL, the baseline, summary and report."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from chainlift import processes, yaml_text
from chainlift.learning.next_token import PretrainSettings
from chainlift.models import families
from chainlift.reading import StrPath
from chainlift.recipe import Recipe
from chainlift.report.sentence import expectation
from chainlift.report.terminal import Reporter
from chainlift.runs import checkpoint, environment, together
from chainlift.stages import cost, last_page, needs, shared_stage
from chainlift.stages.context import Context, stop_on_signals
from chainlift.stages.posttrain import posttrain
from chainlift.stages.prediction import predicted
from chainlift.stages.pretrain import pretrain
from chainlift.stages.summary import summarise
from chainlift.tasks import registry as tasks


@dataclass(frozen=True)
class Result:
    """A finished run."""

    folder: Path
    summary: dict[str, Any]
    report: Path | None
    """Its page; None if the run was asked to make none, or if it could not be written."""


def run(
    recipe: Recipe,
    out: StrPath,
    reporter: Reporter,
    *,
    fresh: bool = False,
    with_page: bool = True,
    wait: bool = False,
    shard: bool = False,
) -> Result:
    """The finished run of a recipe under `out`; what was done before, by this or another process, is not done again.

    wait: for another process that is at work in the folder, instead of refusing. Of several processes that were
    launched together each must call this; the first one reads, writes and speaks. shard: divide the model's weights
    between them (learning/sharding.py).

    Raises ValueError for what the user can mend, FloatingPointError when training diverges, Interrupted after Ctrl-C;
    in each case the run folder stays as it is and the same call goes on from its last checkpoint.
    """
    out = Path(out)
    device, reporter = _begin(recipe, reporter, shard=shard)
    folder = together.opened(out / recipe.run_id, recipe.model_dump(mode="json"), recipe.digest, fresh=fresh)
    context = Context(recipe, folder, reporter, device, shard=shard)
    with together.hold(folder, wait=wait):
        if processes.from_first(folder.done):
            reporter.say(f"{recipe.run_id} is done already")
            context.mirror_what_is_there()
        else:
            processes.first_says(lambda: folder.write_environment(environment.describe(device.type)))
            expected = expectation(predicted(recipe), with_rl=recipe.posttrain is not None)
            if expected is not None:
                reporter.say(expected)
            with stop_on_signals(context.stop), context.mirrored():
                _train(context, out, fresh=fresh)
            processes.first_says(lambda: folder.finish(summarise(recipe, folder)))
        report = processes.first_says(lambda: last_page.written(folder.path, reporter.say)) if with_page else None
    return Result(folder.path, processes.first_says(folder.summary), report)


def run_stage_1(recipe: Recipe, out: Path, reporter: Reporter) -> None:
    """Stage 1 of a recipe in its shared folder under `out`, unless it is there; raises what `run` raises."""
    device, reporter = _begin(recipe, reporter)
    stop = threading.Event()
    with stop_on_signals(stop):
        shared_stage.train(recipe, out, reporter, device, stop)


def plan(recipe: Recipe, out: Path) -> str:
    """What a run would compute, as YAML: the resolved recipe, then comments with its size, time and folder."""
    needs.check(recipe, environment.pick_device(recipe.device))
    task = tasks.build(recipe.task)
    model = families.build(recipe.model, task)
    stage_1 = recipe.pretrain.steps * recipe.pretrain.batch_size
    lines = [
        yaml_text.dump(recipe.model_dump(mode="json")).rstrip(),
        f"# model: {model.describe()}",
        f"# stage 1: {stage_1:,} demonstrations, shared by all runs that agree on it ({recipe.stage_1.run_id})",
    ]
    if recipe.posttrain is not None:
        settings = recipe.posttrain
        rounds = -(-settings.updates // settings.updates_a_round)
        lines.append(f"# RL: {rounds:,} rounds of {settings.prompts * settings.group_size:,} samples")
    lines.append(f"# time here, from a few timed updates, without the baseline: {cost.estimate(recipe)}")
    lines.append(f"# folder: {out / recipe.run_id}")
    return "\n".join(lines)


def _begin(recipe: Recipe, reporter: Reporter, *, shard: bool = False) -> tuple[torch.device, Reporter]:
    """(device, reporter) of this process, which may be one of several that were launched together."""
    device = torch.device(environment.own_device(recipe.device))
    needs.check(recipe, device.type)
    environment.use_threads(recipe.threads)
    if recipe.compile:
        environment.check_compiler(device)
    processes.join(device)
    if shard and processes.count() == 1:
        raise ValueError("--shard divides a model between processes: start several of them with torchrun")
    reporter = reporter if processes.is_first() else Reporter(quiet=True)
    if (note := environment.device_note(recipe.device)) is not None:
        reporter.say(note)
    return device, reporter


def _train(context: Context, out: Path, *, fresh: bool) -> None:
    """The stages, in order; each hands its last checkpoint on."""
    recipe, checkpoints = context.recipe, context.folder.checkpoints
    stage_1 = shared_stage.take(context, out, fresh=fresh)
    if recipe.posttrain is None:
        return
    _, reinforced = posttrain(context, recipe.posttrain, start=stage_1)
    if recipe.continued_pretrain is None:
        return
    settings, num_tokens = continued_settings(recipe, reinforced.tokens)
    after = processes.first_says(lambda: checkpoint.latest(checkpoints, "posttrain"))
    pretrain(context, settings, stage="continued_pretrain", start=stage_1, after=after, min_tokens=num_tokens)


def continued_settings(recipe: Recipe, num_tokens: int) -> tuple[PretrainSettings, int]:
    """(settings, tokens to process): enough steps of stage 1's batches, on average, for RL's tokens times the ratio."""
    assert recipe.continued_pretrain is not None
    task = tasks.build(recipe.task)
    p_cot = recipe.mixture.p_cot
    response = p_cot * task.long_length + (1 - p_cot) * task.short_length + 1
    needed = int(num_tokens * recipe.continued_pretrain.token_ratio)
    steps = -(-needed // int(recipe.pretrain.batch_size * (task.prompt_length + response)))
    rates = {key: getattr(recipe.continued_pretrain, key) or getattr(recipe.pretrain, key) for key in ("lr", "muon_lr")}
    return recipe.pretrain.model_copy(update={"steps": steps, **rates}), needed
