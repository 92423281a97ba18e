"""The folder that runs on language models share their fine-tuning through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from chainlift import processes
from chainlift.llm import damage
from chainlift.measure.occasions import at_the_end
from chainlift.runs import checkpoint, together
from chainlift.runs.store import RunFolder
from chainlift.settings import Settings
from chainlift.stages.base_recipe import AnyRecipe

STAGE = "pretrain"

AnySettings = TypeVar("AnySettings", bound=Settings)


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


def take_stage_1(shared: RunFolder, folder: RunFolder, end: Mapping[str, list[dict[str, Any]]] | None = None) -> Path:
    """The checkpoint in a run's folder, after copying a shared stage 1 into it: the records, and last the checkpoint.

    end: by the name of an appended file, the rows that take the place of those of the shared one's last evaluation.
    ValueError if the shared folder has no checkpoint, or a damaged one.
    """
    newest = checkpoint.latest(shared.checkpoints, "pretrain")
    if newest is None:
        raise ValueError(f"{shared.path} has lost its checkpoint; begin again with --fresh, or remove that folder")

    state = checkpoint.read_state(newest)

    def is_end(row: dict[str, Any]) -> bool:
        return row["kind"] == "evaluation" and row["step"] == state.step and row.get("final", True)

    def put_end(file: str, rows: list[dict[str, Any]]) -> None:
        if end is not None and file in end:
            rows[:] = [row for row in rows if not is_end(row)] + end[file]

    shared.must_have(state.lengths)
    try:
        folder.take_records(shared, put_end)
    except ValueError as error:
        raise ValueError(f"{error}; use --fresh to begin again") from error
    lengths = folder.lengths()
    return checkpoint.copy(newest, folder.checkpoints / newest.name, lambda n, file: lengths[file])
