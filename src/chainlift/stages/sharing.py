"""Stages shared between runs: the runs under one output folder train each stage only once.

    <out>/stages/<stage>-<digest>-s<seed>/    recipe.yaml, the stage's records, its checkpoints, DONE

The digest is of all that decides the stage's weights (Recipe.stage_identity). A run locks that folder while it trains
the stage in its own folder, and puts a copy there at the end. Another run waits for the lock, then takes the copy. The
digest leaves out how a run measures: a run with other evaluation settings measures the end of the stage again, from the
checkpoint. Measurements during the stage are copied, since the weights of those steps are gone; each row has its number
of prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from chainlift import distributed, reading
from chainlift.measure.evaluate import EvaluateSettings
from chainlift.measure.occasions import at_the_end
from chainlift.models import checksums
from chainlift.runs import checkpoint, durable, environment, shared_folder
from chainlift.runs.lock import InUse
from chainlift.runs.store import APPENDED, RunFolder
from chainlift.stages.recipe import Recipe
from chainlift.stages.run_context import RunContext
from chainlift.stages.stage import Place

FOLDER = "stages"


def carry_out(context: RunContext, name: str, out: Path, *, fresh: bool = False) -> None:
    """Finish a stage in the run folder; it is trained only if no run under `out` has trained it.

    fresh: train it in any case, and share the new copy. ValueError if a shared stage is damaged.
    """
    place, checkpoints = context.place(name), context.folder.checkpoints
    shared = _open_shared(context, place, out, fresh=fresh)
    latest = distributed.run_on_rank0(lambda: checkpoint.latest(checkpoints, name))
    distributed.run_on_rank0(lambda: check_unchanged(context.folder, name, place.digest))
    if latest is not None and distributed.run_on_rank0(lambda: checkpoint.read_state(latest).finished):
        if not distributed.run_on_rank0(lambda: shared.done):
            _share_late(context, place, shared)
        return
    distributed.run_on_rank0(lambda: _discard_later(context, name))
    with shared_folder.lock(shared, wait=True, meanwhile=_waiting(context, place)):
        if not fresh and distributed.run_on_rank0(lambda: shared.done and _has_checkpoints(shared, place)):
            context.reporter.say(f"{place.title}: taken from {shared.path}")
            _take(context, place, shared)
        else:
            kept = distributed.run_on_rank0(lambda: checkpoint.steps(shared.checkpoints, name) if shared.done else {})
            place = replace(place, needed=place.needed | kept.keys())  # others may start from them
            place.stage.train(context, place)
            before = context.lengths_before(place)
            distributed.run_on_rank0(lambda: _publish(context, place, shared, before))


def _waiting(context: RunContext, place: Place) -> Callable[[], None]:
    """A function to call repeatedly while another run trains the stage; it prints that once."""
    has_reported = False

    def check() -> None:
        nonlocal has_reported
        if not has_reported:
            context.reporter.say(f"{place.title}: another run is training it; this one waits")
        has_reported = True
        context.stop_if_asked()

    return check


def _discard_later(context: RunContext, name: str) -> None:
    """Delete checkpoints of later stages: without this stage's, their records, which follow its own, are truncated."""
    names = list(context.recipe.stages)
    for later in reversed(names[names.index(name) + 1 :]):
        for folder in checkpoint.steps(context.folder.checkpoints, later).values():
            durable.discard(folder)


def check_unchanged(folder: RunFolder, name: str, digest: str) -> None:
    """ValueError if the run folder has the stage with another digest: files that it was made from have changed."""
    newest = checkpoint.latest(folder.checkpoints, name)
    if newest is not None and checkpoint.read_state(newest).identity not in ("", digest):
        raise ValueError(
            f"{name}: what it was made from (data, model.path or start) has changed since {folder.path} was made; "
            "use --fresh"
        )


def forget(recipe: Recipe, out: Path) -> None:
    """Empty the shared copies of a recipe's stages, so that an interrupted `--fresh` does not resume from old ones.

    The last stage comes first: after a kill no copy is left of a stage whose start is gone.
    """
    for name in reversed(recipe.stages):
        digest = recipe.stage_digest(name)
        shared = RunFolder(folder_of(out, name, digest, recipe.seed))
        if shared.done:  # else another run trains it right now, or none has
            with shared.lock(wait=False):
                shared.begin_again(recipe.prefix(name).model_dump(mode="json"), digest)


def is_trained(prefix: Recipe, out: Path) -> bool:
    """Whether the last stage of a shared prefix of recipes is trained under `out`."""
    name = next(reversed(prefix.stages))
    shared = folder_of(out, name, prefix.stage_digest(name), prefix.seed)
    return RunFolder(out / prefix.run_id).done or RunFolder(shared).done


def folder_of(out: Path, name: str, digest: str, seed: int) -> Path:
    """The folder of a shared stage."""
    return out / FOLDER / f"{name}-{digest}-s{seed}"


def _open_shared(context: RunContext, place: Place, out: Path, *, fresh: bool) -> RunFolder:
    """Open the folder of a shared stage; fresh: empty it if it is damaged."""
    content = context.recipe.prefix(place.name).model_dump(mode="json")
    path = folder_of(out, place.name, place.digest, context.recipe.seed)

    def open_it() -> RunFolder:
        try:
            return RunFolder.open(path, content, place.digest)
        except ValueError:
            if not fresh:
                raise
            return RunFolder.open(path, content, place.digest, fresh=True)

    return distributed.run_on_rank0(open_it)


def _has_checkpoints(shared: RunFolder, place: Place) -> bool:
    """Whether a finished shared stage has the checkpoints that this run needs; ValueError if it is damaged."""
    try:
        kept = checkpoint.steps(shared.checkpoints, place.name)
        state = checkpoint.end(shared.checkpoints, place.name)
        for folder in kept.values():
            checksums.check(folder)
        shared.must_have(state.lengths)
        for file in APPENDED:
            shared.rows(file)
        summary = reading.json_mapping(shared.path / "summary.json")
        _shared_measurement(shared)
    except ValueError as error:
        raise ValueError(f"a stage that runs share is damaged: {error}; train it again with --fresh") from error
    if place.stage.keep == "all" and summary.get("keep") != "all":
        return False
    return {step for step in range(1, state.step) if place.keeps(step)} <= kept.keys()


def _publish(context: RunContext, place: Place, shared: RunFolder, before: dict[str, int]) -> None:
    """Copy a finished stage to its shared folder: its records, its checkpoints, and last the marker DONE.

    The folder is emptied first: it may have fewer checkpoints, or be incomplete after a kill.
    """
    shared.clear(context.recipe.prefix(place.name).model_dump(mode="json"))
    folder = context.folder
    for file in APPENDED:
        shared.append(file, [row for row in folder.rows(file) if row["stage"] == place.name])
    shared.write_environment(environment.describe(context.device.type))
    shared.lengths()  # syncs the records to the disk before the checkpoints that refer to them
    for source in checkpoint.steps(folder.checkpoints, place.name).values():
        checkpoint.copy(source, shared.checkpoints / source.name, lambda n, file: n - before.get(file, 0))
    state = checkpoint.end(folder.checkpoints, place.name)
    measurement, keep = _measurement(context.recipe, place), place.stage.model_dump(mode="json")["keep"]
    shared.finish({"stage": place.name, **place.stage.counts(state), "evaluate": measurement, "keep": keep})


def _share_late(context: RunContext, place: Place, shared: RunFolder) -> None:
    """Share a stage that a run had finished when it was killed, unless another run works on that stage."""
    before = context.lengths_before(place)

    def publish() -> None:
        if not shared.done:
            _publish(context, place, shared, before)

    with suppress(InUse), shared_folder.lock(shared, wait=False):
        distributed.run_on_rank0(publish)


def _take(context: RunContext, place: Place, shared: RunFolder) -> None:
    """Copy a shared stage into the run folder: its records, and last its final checkpoint."""
    folder, end = context.folder, _measured_again(context, place, shared)
    before = context.lengths_before(place)

    def copy() -> None:
        last = checkpoint.end(shared.checkpoints, place.name).step
        for partial in checkpoint.steps(folder.checkpoints, place.name).values():  # of a run that was interrupted
            durable.discard(partial)
        folder.rewind(before)
        for file in APPENDED:
            rows = shared.rows(file)
            if end is not None:
                rows = [*(row for row in rows if not _is_end(row, last)), *end[file]]
            folder.append(file, rows)
        now = folder.lengths()
        for step, source in checkpoint.steps(shared.checkpoints, place.name).items():
            target = folder.checkpoints / source.name
            if step == last:
                checkpoint.copy(source, target, lambda n, file: now[file])
            elif place.stays(step):
                checkpoint.copy(source, target, lambda n, file: n + before.get(file, 0))

    distributed.run_on_rank0(copy)
    context.mirror_new_rows()


def _measured_again(context: RunContext, place: Place, shared: RunFolder) -> dict[str, list[dict[str, Any]]] | None:
    """Rows of each file from a new measurement of the stage's end; None if the shared one had the same settings."""
    wanted = _measurement(context.recipe, place)

    def newest() -> Path | None:
        same = at_the_end(_shared_measurement(shared)) == at_the_end(wanted)
        return None if same else checkpoint.latest(shared.checkpoints, place.name)

    folder = distributed.run_on_rank0(newest)
    if folder is None:
        return None
    model, state = context.load_checkpoint(folder), distributed.run_on_rank0(lambda: checkpoint.read_state(folder))
    context.reporter.say(f"{place.title}: measured again, on {context.recipe.evaluate.prompts} prompts")
    return context.measured(state, model, final=True, show=True)


def _measurement(recipe: Recipe, place: Place) -> dict[str, Any]:
    """Settings by which a run measures a stage: those of evaluation, and keys of task and model that only measure."""
    whole = recipe.identity()
    only_measuring = {
        f"{part}.{key}": whole[part][key]
        for part in ("task", "model")
        for key in sorted(place.stage.measuring_keys(part, getattr(recipe, part)) & whole[part].keys())
    }
    return recipe.evaluate.model_dump(mode="json") | only_measuring


def _shared_measurement(shared: RunFolder) -> dict[str, Any]:
    """Settings by which the run that trained a shared stage measured it; ValueError if its file is damaged."""
    file = shared.path / "summary.json"
    try:
        content = dict(reading.json_mapping(file)["evaluate"])
        EvaluateSettings(**{key: value for key, value in content.items() if "." not in key})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged") from error
    return content


def _is_end(row: dict[str, Any], step: int) -> bool:
    """Whether a row of either file is from the measurement of a stage's end; rows of responses have no `final`."""
    return row["kind"] == "evaluation" and row["step"] == step and bool(row.get("final", True))
