"""Stage 1 at other sizes than the recipe's: wider, where the machine's limit is nearer, and longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine, drawn, product
from chainlift.bench.peers import TrainingStep
from chainlift.bench.stages_measured import next_token_stage
from chainlift.bench.states import save_new
from chainlift.bench.timing import Action, Case, Comparison, Kind, clocked
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry

WIDER = 256
LENGTHS = (50, 400)
ROWS = 64  # at each of the lengths
HEAD_WIDTH = 32
Make = Callable[[Path], Action]
"""Makes a case's action of the model in a folder."""


def sized(
    recipe: Recipe, *, rows: int | None = None, width: int | None = None, changes: tuple[str, ...] = ()
) -> Recipe:
    """The recipe with other sizes, at another width with heads of HEAD_WIDTH; ValueError if it has none of them."""
    told = list(changes)
    if rows is not None:
        told.append(f"{next_token_stage(recipe)[0]}.batch_size={rows}")
    if width is not None:
        told += [f"model.width={width}", f"model.heads={max(width // HEAD_WIDTH, 1)}"]
    return recipes.override(recipe, told)


def with_new(recipe: Recipe, make: Make) -> Callable[[], Action]:
    """A case's `make` with the folder of a new model of the recipe, which is gone afterwards."""

    def made() -> Action:
        with TemporaryDirectory() as folder:
            save_new(recipe, Path(folder))
            return make(Path(folder))

    return made


def ours(recipe: Recipe, machine: Machine, name: str = "ours", kind: Kind = "ours") -> Case:
    """Our update of stage 1, of a new model."""
    return Case(
        name, kind, with_new(recipe, lambda folder: clocked(machine, Engine(recipe, folder, machine).stage_1()))
    )


def peer(recipe: Recipe, machine: Machine, folder: Path | None = None) -> Case:
    """transformers' update on the same batches, of the model in a folder or of the same new one."""
    task = registry.build(recipe.task)

    def make(folder: Path) -> Action:
        step_on = TrainingStep(folder, machine, task.vocabulary.eos)
        return lambda step: step_on(drawn(recipe, task, step))

    made = with_new(recipe, make) if folder is None else partial(make, folder)
    return Case("transformers training step, padded", "peer", made)


def comparisons(recipe: Recipe, machine: Machine, *, peers: bool) -> Iterator[Comparison]:
    """Stage 1 at width WIDER; and, where the task's length is its `d`, at both LENGTHS, ROWS sequences each."""
    wide = sized(recipe, width=WIDER)
    cases = [ours(wide, machine), *([peer(wide, machine)] if peers else [])]
    yield Comparison("stage1", f"width {WIDER}", machine.dtype, cases, product(wide))
    if "d" not in type(recipe.task).model_fields:
        return
    short, long = (sized(recipe, rows=ROWS, changes=(f"task.d={d}",)) for d in LENGTHS)
    cases = [ours(short, machine, f"ours, d {LENGTHS[0]}"), ours(long, machine, f"ours, d {LENGTHS[1]}", "size")]
    yield Comparison("stage1", f"{ROWS} sequences of each length", machine.dtype, cases, product(recipe))
