"""Part 3: against transformers and TRL, at the headline's size and with 25 million parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.gpu_check.record import Finding, Record, compared
from benchmarks.gpu_check.sizes import headline, larger
from chainlift.bench import states, trl_peer
from chainlift.bench.machine import DTYPES, Machine, matmul_rate
from chainlift.bench.ours import Engine, draw_prompts, product
from chainlift.bench.states import States, rl_stage
from chainlift.bench.suite import Suite
from chainlift.bench.timing import Action, Case, Comparison, clocked
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry


def run(record: Record, work: Path) -> None:
    """Make all measurements, the slowest last."""
    recipes = {"headline": headline(tiny=record.tiny)} | ({} if record.tiny else {"25 M": larger()})
    machines = [Machine(record.device, dtype) for dtype in DTYPES]
    for name, recipe in recipes.items():
        record.measure(f"rate, {name}", partial(rates, recipe, machines), needs=2)
    repeats = 1 if record.tiny else 3
    for name, recipe in recipes.items():
        for machine in machines:
            measurement = partial(against_transformers, recipe, machine, work, repeats)
            record.measure(f"stage1, {name}, {machine.dtype}", measurement, needs=8)
    for name, recipe in recipes.items():
        for machine in machines:
            measurement = partial(against_trl, recipe, machine, work, 1 if record.tiny or name != "headline" else 2)
            record.measure(f"TRL update, {name}, {machine.dtype}", measurement, needs=12)


def rates(recipe: Recipe, machines: list[Machine]) -> Finding:
    """The machine's peak rate: plain matrix products of the recipe's size."""
    rate_of_dtype = {machine.dtype: matmul_rate(machine, *product(recipe)) for machine in machines}
    line = ", ".join(f"{dtype} {rate / 1e12:.3g}" for dtype, rate in rate_of_dtype.items())
    width, hidden = product(recipe)
    return rate_of_dtype, f"TFLOP/s of products of width {width} x {hidden}: {line}"


def against_transformers(recipe: Recipe, machine: Machine, work: Path, repeats: int) -> Finding:
    """Compare an update of next-token prediction with that of transformers."""

    def compare(folder: Path, state: str) -> Finding:
        (comparison,) = Suite(States(recipe, folder, None), machine, True, ("stage1",)).comparisons()
        return compared(replace(comparison, state=state), machine, repeats)

    return with_state(recipe, work, compare)


def against_trl(recipe: Recipe, machine: Machine, work: Path, repeats: int) -> Finding:
    """Compare an RL update, sampling included, with TRL's, after the headline's next-token prediction if part 2 ran."""
    settings = rl_stage(recipe)[1]
    task = registry.build(recipe.task)
    import trl  # noqa: F401  # before the work, so that a missing package is reported

    def cases(folder: Path) -> list[Case]:
        def ours() -> Action:
            return clocked(machine, Engine(recipe, folder, machine).update(settings, algorithm="grpo", coins=True))

        def theirs() -> Action:
            return lambda step: trl_peer.update(
                folder,
                machine,
                task,
                draw_prompts(task, settings.prompts, step),
                group_size=settings.group_size,
                algorithm="grpo",
            )

        return [Case("ours", "ours", ours), Case("TRL GRPOTrainer", "peer", theirs)]

    return with_state(
        recipe,
        work,
        lambda folder, state: compared(
            Comparison("update", state, machine.dtype, cases(folder), product(recipe)), machine, repeats
        ),
    )


def with_state(recipe: Recipe, work: Path, compare: Callable[[Path, str], Finding]) -> Finding:
    """`compare` with the checkpoint after next-token prediction of a finished run, or with a new model."""
    for run in sorted((work / "headline").glob("headline-*/DONE")):
        run_states = states.of_run(run.parent)
        if run_states.recipe.model == recipe.model and run_states.recipe.task == recipe.task:
            return compare(run_states.early, "after stage 1")
    folder = work / "new" / f"{recipe.digest}"
    if not folder.exists():
        folder.mkdir(parents=True)
        states.save_new(recipe, folder)
    return compare(folder, "new model")
