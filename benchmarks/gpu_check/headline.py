"""Part 2: the headline from beginning to end, what an update of it costs, and what CUDA graphs are worth."""

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
"""The engine with what is off in a recipe switched on, and what is timed."""
COMPILED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "compiled": ({"compiled": True}, ("stage1",)),
    "compiled, bfloat16": ({"compiled": True, "dtype": "bfloat16"}, ("stage1", "update_late")),
}
"""The same with what takes longer, as it compiles first."""


def run(record: Record, work: Path) -> None:
    """All of it."""
    recipe = headline(f"device={record.device}", tiny=record.tiny)
    out = work / "headline"
    if record.measure("run", partial(whole, recipe, out), needs=20) is None:
        return
    if (out / recipe.run_id).exists():  # else an earlier check had it, with all that follows from its states
        of_the_run(record, out / recipe.run_id)
    again = [["dtype=bfloat16"]]
    if record.device == "cuda":  # compiling needs a compiler, and a GPU to be of interest
        again.append(["compile=true"])
    took = (record.findings | record.earlier)["run"]["seconds"]
    for changes in again:
        own = recipes.override(recipe, changes)
        record.measure(f"run, {changes[0]}", partial(whole, own, out), needs=1.3 * took)
        done = sorted(out.glob("headline-*/DONE"))
        if record.device == "cuda" and done and changes == again[0]:
            decoding_graphs.ways(record, states.of_run(done[0].parent))


def of_the_run(record: Record, run: Path) -> None:
    """What is measured with the states of the run."""
    record.measure("page", partial(shown, run), needs=5)
    found = states.of_run(run)
    profiles(record, found, VARIANTS)
    for stage in ("pretrain", "posttrain"):
        agreements(record, "headline_", run, stage)
    record.measure("recording", partial(recording, found, record.device))
    suite = Suite(found, Machine(record.device), peers=False, only=("rollout",) if record.tiny else ACTIONS_OF_SUITE)
    for one in suite.comparisons():
        record.measure(f"times: {one.title}", partial(compared, one, suite.machine, 1 if record.tiny else 3), needs=6)
    if record.device == "cuda":
        profiles(record, found, COMPILED)


def profiles(record: Record, found: States, variants: dict[str, tuple[dict[str, Any], tuple[str, ...]]]) -> None:
    """Every variant's actions."""
    for name, (options, actions) in variants.items():
        for action in actions:
            doing = partial(profile, found, record, action, options)
            record.measure(f"{action}, {name}", doing, needs=15 if options.get("compiled") else 4)


@contextmanager
def clocked_methods(into: dict[str, float]) -> Iterator[None]:
    """Seconds that stages spend in evaluations and checkpoints, added up under their names."""

    def timed(name: str) -> Callable[..., Any]:
        inner = getattr(Context, name)

        def outer(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*arguments, **options)
            finally:
                into[name] = into.get(name, 0.0) + time.perf_counter() - began

        return outer

    usual = {name: getattr(Context, name) for name in ("evaluate", "keep")}
    for name in usual:
        setattr(Context, name, timed(name))
    try:
        yield
    finally:
        for name, inner in usual.items():
            setattr(Context, name, inner)


def whole(recipe: Recipe, out: Path) -> Finding:
    """A run of the recipe: seconds of its stages, of evaluations and of checkpoints, and what came out."""
    within: dict[str, float] = {}
    began = time.perf_counter()
    with clocked_methods(within):
        found = pipeline.run(recipe, out, Reporter(quiet=True)).summary
    seconds = time.perf_counter() - began
    stages = list(recipe.stages)
    told = {"wall_seconds": seconds, "within": within, "summary": found}
    told |= {"stage_seconds": {stage: found[stage]["seconds"] for stage in stages}}
    parts = [
        f"{stage} {found[stage]['seconds']:.1f} s, greedy accuracy {found[stage]['greedy_accuracy']:.3f}, "
        f"length {found[stage]['greedy_length_median']:g}"
        for stage in stages
    ]
    spent = ", ".join(f"{value:.1f} s in {name}" for name, value in within.items())
    return told, f"{seconds:.1f} s in all ({spent}); {'; '.join(parts)}"


def shown(folder: Path) -> Finding:
    """The run's page."""
    began = time.perf_counter()
    run_page.write(folder)
    return {}, f"the run's page takes {time.perf_counter() - began:.1f} s"


def profile(found: States, record: Record, action: str, options: dict[str, Any]) -> Finding:
    """One action under one variant."""
    machine = Machine(record.device, options.get("dtype", "float32"))
    late = found.late
    assert late is not None
    engine = Engine(found.recipe, late if action.endswith("late") else found.early, machine)
    if options.get("compiled"):
        engine.model.compile_parts()
    settings = rl_stage(found.recipe)[1]
    doings: dict[str, Callable[[], Any]] = {
        "stage1": engine.next_token_update,
        "update": lambda: engine.update(settings, algorithm=settings.algorithm),
        "evaluate": lambda: engine.evaluate(found.recipe.evaluate.during),
    }
    act = doings[action.partition("_")[0]]()
    with ExitStack() as stack:
        if options.get("replayed"):
            stack.enter_context(replaying())
        if options.get("tf32"):
            torch.set_float32_matmul_precision("high")
            stack.callback(torch.set_float32_matmul_precision, "highest")
        return profiled(machine, act, repeats=1 if record.tiny else 4)


def recording(found: States, device: str) -> Finding:
    """Seconds of decoding steps of the late model: the one that is recorded, and replayed or plain ones."""
    late = found.late
    assert late is not None
    machine = Machine(device)
    engine = Engine(found.recipe, late, machine)
    prefix, last = split_prompts(draw_prompts(engine.task, rl_stage(found.recipe)[1].prompts, 0).to(device))
    told: dict[str, float] = {}
    for name, context in (("replayed", replaying(after=0)), ("plain", nullcontext())):
        with torch.no_grad(), context:
            cache = engine.model.prefill(prefix)
            seconds: list[float] = []
            for _ in range(2):  # the first pays for allocation
                decoder = engine.model.decoder(cache, engine.task.long_length + 1)
                seconds = []
                for _ in range(engine.task.long_length):
                    began = machine.clock()
                    decoder.step(last[:, 0])
                    seconds.append(machine.clock() - began)
            told |= {f"{name}_step": statistics.median(seconds[2:]), f"{name}_second_step": seconds[1]}
    return told, (
        f"a decoding step of {len(last)} rows: {told['replayed_step'] * 1e3:.2f} ms replayed, "
        f"{told['plain_step'] * 1e3:.2f} ms plain; recording one takes {told['replayed_second_step'] * 1e3:.1f} ms"
    )
