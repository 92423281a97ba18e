"""Part 2: the whole headline, the cost of its updates, and the gain by CUDA graphs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_check import decoding_graphs
from benchmarks.gpu_check.profiling import profiled
from benchmarks.gpu_check.record import Finding, Record, compared
from benchmarks.gpu_check.right import agreements
from benchmarks.gpu_check.sizes import headline
from chainlift.bench import states
from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine, draw_prompts
from chainlift.bench.states import States, rl_stage
from chainlift.bench.suite import ACTIONS as ACTIONS_OF_SUITE
from chainlift.bench.suite import Suite
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer.cuda_graphs import replaying
from chainlift.report.pages import run_page
from chainlift.report.terminal.reporter import Reporter
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from chainlift.stages.context import Context
from chainlift.stages.recipe import Recipe

ACTIONS = ("stage1", "update_early", "update_late", "evaluate_late")
VARIANTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "as it is": ({}, ACTIONS),
    "with cuda graphs": ({"replayed": True}, ("update_late", "evaluate_late")),
    "bfloat16": ({"dtype": "bfloat16"}, ("stage1", "update_late")),
    "TF32": ({"tf32": True}, ("stage1", "update_late")),
}
"""{variant: (options of the engine that a recipe leaves off, timed actions)}."""
COMPILED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "compiled": ({"compiled": True}, ("stage1",)),
    "compiled, bfloat16": ({"compiled": True, "dtype": "bfloat16"}, ("stage1", "update_late")),
}
"""Variants that compile first, and so take longer."""


def run(record: Record, work: Path) -> None:
    """Make all measurements."""
    recipe = headline(f"device={record.device}", tiny=record.tiny)
    out = work / "headline"
    if record.measure("run", partial(whole, recipe, out), needs=20) is None:
        return
    if (out / recipe.run_id).exists():  # else an earlier check made it, and all measurements of its states
        of_the_run(record, out / recipe.run_id)
    repeated_changes = [["dtype=bfloat16"]]
    if record.device == "cuda":  # compiling needs a compiler, and a GPU to be of interest
        repeated_changes.append(["compile=true"])
    seconds = (record.findings | record.earlier)["run"]["seconds"]
    for changes in repeated_changes:
        changed_recipe = recipes.override(recipe, changes)
        record.measure(f"run, {changes[0]}", partial(whole, changed_recipe, out), needs=1.3 * seconds)
        finished = sorted(out.glob("headline-*/DONE"))
        if record.device == "cuda" and finished and changes == repeated_changes[0]:
            decoding_graphs.ways(record, states.of_run(finished[0].parent))


def of_the_run(record: Record, run: Path) -> None:
    """Make the measurements that need the states of the run."""
    record.measure("page", partial(shown, run), needs=5)
    run_states = states.of_run(run)
    profiles(record, run_states, VARIANTS)
    for stage in ("pretrain", "posttrain"):
        agreements(record, "headline_", run, stage)
    record.measure("recording", partial(recording, run_states, record.device))
    suite = Suite(
        run_states, Machine(record.device), peers=False, only=("rollout",) if record.tiny else ACTIONS_OF_SUITE
    )
    for comparison in suite.comparisons():
        record.measure(
            f"times: {comparison.title}", partial(compared, comparison, suite.machine, 1 if record.tiny else 3), needs=6
        )
    if record.device == "cuda":
        profiles(record, run_states, COMPILED)


def profiles(record: Record, run_states: States, variants: dict[str, tuple[dict[str, Any], tuple[str, ...]]]) -> None:
    """Profile the actions of every variant."""
    for name, (options, actions) in variants.items():
        for action in actions:
            measurement = partial(profile, run_states, record, action, options)
            record.measure(f"{action}, {name}", measurement, needs=15 if options.get("compiled") else 4)


@contextmanager
def clocked_methods(into: dict[str, float]) -> Iterator[None]:
    """Add the seconds of evaluations and checkpoints inside the block to `into`, by method name."""

    def timed(name: str) -> Callable[..., Any]:
        inner = getattr(Context, name)

        def outer(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return inner(*arguments, **options)
            finally:
                into[name] = into.get(name, 0.0) + time.perf_counter() - started

        return outer

    original = {name: getattr(Context, name) for name in ("evaluate", "keep")}
    for name in original:
        setattr(Context, name, timed(name))
    try:
        yield
    finally:
        for name, inner in original.items():
            setattr(Context, name, inner)


def whole(recipe: Recipe, out: Path) -> Finding:
    """A run of the recipe: seconds of its stages, evaluations and checkpoints, and its summary."""
    within: dict[str, float] = {}
    started = time.perf_counter()
    with clocked_methods(within):
        summary = pipeline.run(recipe, out, Reporter(quiet=True)).summary
    seconds = time.perf_counter() - started
    stages = list(recipe.stages)
    finding = {"wall_seconds": seconds, "within": within, "summary": summary}
    finding |= {"stage_seconds": {stage: summary[stage]["seconds"] for stage in stages}}
    parts = [
        f"{stage} {summary[stage]['seconds']:.1f} s, greedy accuracy {summary[stage]['greedy_accuracy']:.3f}, "
        f"length {summary[stage]['greedy_length_median']:g}"
        for stage in stages
    ]
    spent = ", ".join(f"{value:.1f} s in {name}" for name, value in within.items())
    return finding, f"{seconds:.1f} s in all ({spent}); {'; '.join(parts)}"


def shown(folder: Path) -> Finding:
    """Seconds to write the run's page."""
    started = time.perf_counter()
    run_page.write(folder)
    return {}, f"the run's page takes {time.perf_counter() - started:.1f} s"


def profile(run_states: States, record: Record, action: str, options: dict[str, Any]) -> Finding:
    """Profile of one action under one variant."""
    machine = Machine(record.device, options.get("dtype", "float32"))
    late = run_states.late
    assert late is not None
    engine = Engine(run_states.recipe, late if action.endswith("late") else run_states.early, machine)
    if options.get("compiled"):
        engine.model.compile_parts()
    settings = rl_stage(run_states.recipe)[1]
    action_makers: dict[str, Callable[[], Any]] = {
        "stage1": engine.next_token_update,
        "update": lambda: engine.update(settings, algorithm=settings.algorithm),
        "evaluate": lambda: engine.evaluate(run_states.recipe.evaluate.during),
    }
    act = action_makers[action.partition("_")[0]]()
    with ExitStack() as stack:
        if options.get("replayed"):
            stack.enter_context(replaying())
        if options.get("tf32"):
            torch.set_float32_matmul_precision("high")
            stack.callback(torch.set_float32_matmul_precision, "highest")
        return profiled(machine, act, repeats=1 if record.tiny else 4)


def recording(run_states: States, device: str) -> Finding:
    """Seconds of decoding steps of the late model: recorded, replayed and plain."""
    late = run_states.late
    assert late is not None
    machine = Machine(device)
    engine = Engine(run_states.recipe, late, machine)
    prefix, last = split_prompts(draw_prompts(engine.task, rl_stage(run_states.recipe)[1].prompts, 0).to(device))
    timings: dict[str, float] = {}
    for name, context in (("replayed", replaying(after=0)), ("plain", nullcontext())):
        with torch.no_grad(), context:
            cache = engine.model.prefill(prefix)
            seconds: list[float] = []
            for _ in range(2):  # the first pays for allocation
                decoder = engine.model.decoder(cache, engine.task.long_length + 1)
                seconds = []
                for _ in range(engine.task.long_length):
                    started = machine.clock()
                    decoder.step(last[:, 0])
                    seconds.append(machine.clock() - started)
            timings |= {f"{name}_step": statistics.median(seconds[2:]), f"{name}_second_step": seconds[1]}
    return timings, (
        f"a decoding step of {len(last)} rows: {timings['replayed_step'] * 1e3:.2f} ms replayed, "
        f"{timings['plain_step'] * 1e3:.2f} ms plain; "
        f"recording one takes {timings['replayed_second_step'] * 1e3:.1f} ms"
    )
