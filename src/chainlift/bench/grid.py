"""Other sizes: what does not depend on behaviour, ours against transformers, at several lengths and widths.

A batch has about TOKENS tokens at every size, so that it fits into memory, and times compare at a size only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chainlift.bench import peers as hf
from chainlift.bench import sizes, teacher_forced
from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine, asked, product
from chainlift.bench.peers import Generate, TrainingStep
from chainlift.bench.stages_measured import next_token_stage
from chainlift.bench.timing import Action, Case, Comparison, clocked
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry

DIGITS = (25, 50, 100, 200, 400)
WIDTHS = (128, 256, 512)
TOKENS = 8192
GROUP_SIZE = 4
ACTIONS = ("stage1", "update", "decoding")


def points(recipe: Recipe, digits: tuple[int, ...] = DIGITS, widths: tuple[int, ...] = WIDTHS) -> list[Recipe]:
    """The recipe at each size, with as many rows as TOKENS allow, a multiple of GROUP_SIZE; ValueError if its task has
    no `d`.
    """
    found = []
    for width in widths:
        for d in digits:
            rows = max(TOKENS // (2 * d + 1) // GROUP_SIZE, 1) * GROUP_SIZE
            found.append(sizes.sized(recipe, rows=rows, width=width, changes=(f"task.d={d}",)))
    return found


def comparisons(recipe: Recipe, machine: Machine, *, peers: bool) -> Iterator[Comparison]:
    """The three actions at one size."""
    size = f"d {recipe.setting('task.d')}, width {product(recipe)[0]}, {next_token_stage(recipe)[1].batch_size} rows"
    of_action = {"stage1": _stage_1, "update": _update, "decoding": _decoding}
    for action in ACTIONS:
        own, peer = of_action[action](recipe, machine)
        yield Comparison(action, size, machine.dtype, [own, peer] if peers else [own], product(recipe))


def _stage_1(recipe: Recipe, machine: Machine) -> tuple[Case, Case]:
    return sizes.ours(recipe, machine), sizes.peer(recipe, machine)


def _update(recipe: Recipe, machine: Machine) -> tuple[Case, Case]:
    task, prompts = registry.build(recipe.task), next_token_stage(recipe)[1].batch_size // GROUP_SIZE

    def ours(folder: Path) -> Action:
        return clocked(machine, teacher_forced.update(Engine(recipe, folder, machine), prompts, GROUP_SIZE))

    def peer(folder: Path) -> Action:
        step_on = TrainingStep(folder, machine, task.vocabulary.eos)
        return lambda step: step_on(
            teacher_forced.as_batch(teacher_forced.random_rollout(task, prompts, GROUP_SIZE, step))
        )

    return _pair(recipe, ours, peer)


def _decoding(recipe: Recipe, machine: Machine) -> tuple[Case, Case]:
    task, prompts = registry.build(recipe.task), next_token_stage(recipe)[1].batch_size // GROUP_SIZE

    def ours(folder: Path) -> Action:
        return clocked(machine, teacher_forced.decode(Engine(recipe, folder, machine), prompts, GROUP_SIZE))

    def peer(folder: Path) -> Action:
        generate = Generate(
            hf.load(folder, machine, training=False), machine, task.vocabulary.eos, task.long_length + 1
        )
        return lambda step: generate(asked(task, prompts, step), group_size=GROUP_SIZE, to_the_end=True)

    return _pair(recipe, ours, peer)


def _pair(recipe: Recipe, ours: sizes.Make, peer: sizes.Make) -> tuple[Case, Case]:
    return (
        Case("ours", "ours", sizes.with_new(recipe, ours)),
        Case("transformers", "peer", sizes.with_new(recipe, peer)),
    )
