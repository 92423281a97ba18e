"""Other sizes: what does not depend on behaviour, ours against transformers, at several lengths and widths.

A batch has about TOKENS tokens at every size, so that it fits into memory, and times compare at a size only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chainlift import recipe as recipes
from chainlift.bench import teacher_forced
from chainlift.bench.ours import Engine, asked, drawn
from chainlift.bench.peers import Generate, TrainingStep
from chainlift.bench.states import untrained
from chainlift.bench.timing import Action, Case, Comparison, clocked
from chainlift.recipe import Recipe
from chainlift.tasks import registry

DIGITS = (25, 50, 100, 200, 400)
WIDTHS = (128, 256, 512)
HEAD_WIDTH = 32
TOKENS = 8192
GROUP_SIZE = 4
ACTIONS = ("stage1", "update", "decoding")


def sized(recipe: Recipe, *changes: str) -> Recipe:
    """The recipe with other sizes; ValueError if its task has none of them."""
    return recipes.override(recipe, list(changes))


def points(recipe: Recipe, digits: tuple[int, ...] = DIGITS, widths: tuple[int, ...] = WIDTHS) -> list[Recipe]:
    """The recipe at each size, with as many rows as TOKENS allow, a multiple of GROUP_SIZE."""
    found = []
    for width in widths:
        for d in digits:
            rows = max(TOKENS // (2 * d + 1) // GROUP_SIZE, 1) * GROUP_SIZE
            heads = max(width // HEAD_WIDTH, 1)
            changes = (f"task.d={d}", f"model.width={width}", f"model.heads={heads}", f"pretrain.batch_size={rows}")
            found.append(sized(recipe, *changes))
    return found


def comparisons(recipe: Recipe, dtype: str, folder: Path, *, peers: bool) -> Iterator[Comparison]:
    """The three actions at one size; a new model is written into `folder`, which must be empty."""
    untrained(recipe, folder)
    task, rows = registry.build(recipe.task), recipe.pretrain.batch_size
    eos, prompts = task.vocabulary.eos, rows // GROUP_SIZE
    size = f"d {recipe.setting('task.d')}, width {recipe.setting('model.width')}, {rows} rows"

    def ours(action: str) -> Case:
        def make() -> Action:
            engine = Engine(recipe, folder, dtype)
            if action == "stage1":
                return clocked(engine.stage_1())
            act = teacher_forced.update if action == "update" else teacher_forced.decode
            return clocked(act(engine, prompts, GROUP_SIZE))

        return Case("ours", "ours", make)

    def peer(action: str) -> Case:
        def make() -> Action:
            if action == "decoding":
                generate = Generate(folder, dtype, eos, task.long_length + 1)
                return lambda step: generate(asked(task, prompts, step), group_size=GROUP_SIZE, to_the_end=True)
            step_on = TrainingStep(folder, dtype, eos)
            if action == "stage1":
                return lambda step: step_on(drawn(recipe, task, step))
            return lambda step: step_on(
                teacher_forced.as_batch(teacher_forced.gold_rollout(task, asked(task, prompts, step), GROUP_SIZE))
            )

        return Case("transformers", "peer", make)

    for action in ACTIONS:
        yield Comparison(action, size, dtype, [ours(action), *([peer(action)] if peers else [])])
