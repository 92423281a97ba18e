"""Part 0: where the time of a stage-1 update goes on a GPU, in float32 and in bfloat16, and what recording costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_check.decoding_graphs import pieces_of_a_recording
from benchmarks.gpu_check.record import Finding, Record
from benchmarks.gpu_check.sizes import headline
from chainlift.bench import states
from chainlift.bench.machine import DTYPES, Machine
from chainlift.bench.ours import Engine, draw_batch
from chainlift.bench.states import next_token_stage
from chainlift.learning import next_token
from chainlift.learning.likelihood import MAX_TOKENS
from chainlift.models.transformer import attention
from chainlift.stages.recipe import Recipe
from chainlift.tasks.base import Demonstrations
from chainlift.tasks.mixture import MixtureBatch

NEW = 5  # batches whose shapes are new
SHOWN = 15  # operators
LONG_SHARE = 0.15  # of equal shapes: below the recipe's share by three standard deviations, so that rows suffice
FORMS: dict[str, tuple[bool, int]] = {
    "as it is": (False, MAX_TOKENS),
    "each form in one piece": (False, 10**9),
    "both forms padded": (True, MAX_TOKENS),
    "one padded batch": (True, 10**9),
}
"""Whether a batch's two forms are padded and joined, and the tokens of a pass: the last is what a peer is given."""


@contextmanager
def plain_cublas() -> Any:
    """Matrix products by cuBLAS, not by cuBLASLt and its search for an algorithm."""
    before = torch.backends.cuda.preferred_blas_library()
    torch.backends.cuda.preferred_blas_library("cublas")
    try:
        yield
    finally:
        torch.backends.cuda.preferred_blas_library(before)


def with_plans() -> AbstractContextManager[Any]:
    """cuDNN's attention where PyTorch prefers it, as it was before attention_kernels.py."""
    return mock.patch.object(attention, "without_plans", nullcontext)


VARIANTS: dict[str, tuple[tuple[str, ...], Callable[[], AbstractContextManager[Any]]]] = {
    "as it is": (tuple(DTYPES), nullcontext),
    "plain cuBLAS": (tuple(DTYPES), plain_cublas),
    "cuDNN's attention": (("bfloat16",), with_plans),
}
"""What is suspected, in which precisions, and how it is switched on or off."""


def run(record: Record, work: Path) -> None:
    """All of it; what is asked for most comes first."""
    recipe = headline(tiny=record.tiny)
    folder = work / "diagnosis"
    folder.mkdir(parents=True, exist_ok=True)
    states.save_new(recipe, folder)
    for number, (name, (dtypes, context)) in enumerate(VARIANTS.items()):
        for dtype in dtypes:
            engine = Engine(recipe, folder, Machine(record.device, dtype))
            record.measure(f"shapes, {dtype}, {name}", partial(shapes, engine, context, 100 * number), needs=6)
            if name != "plain cuBLAS":
                record.measure(f"operators, {dtype}, {name}", partial(operators, engine, context, 100 * number + 50))
    for dtype in DTYPES:
        engine = Engine(recipe, folder, Machine(record.device, dtype))
        record.measure(f"parts of stage 1, {dtype}", partial(parts, engine), needs=4)
    if record.device == "cuda":
        record.measure("recording", partial(pieces_of_a_recording, recipe, folder, record.device), needs=4)


def shapes(engine: Engine, context: Callable[[], AbstractContextManager[Any]], first: int) -> Finding:
    """Seconds of an update on one batch again and again, on new ones of its shapes, and on new ones of new shapes.

    first: number of the first batch, so that no variant meets a batch that another has met.
    """
    usual = engine.recipe
    long = max(round(LONG_SHARE * next_token_stage(usual)[1].batch_size), 1)
    batches = {
        "the same batch": [draw_batch(usual, engine.task, first)] * NEW,
        "new batches of equal shapes": [trimmed(usual, engine, first + 1 + step, long) for step in range(NEW)],
        "new batches": [draw_batch(usual, engine.task, first + 20 + step) for step in range(NEW)],
    }
    found: dict[str, Any] = {}
    with context():
        for name, own in batches.items():
            found[name] = [seconds(engine, batch) for batch in own]
            if name != "new batches":  # the first one pays for the shapes
                found[f"{name}, the first"] = found[name].pop(0)
    told = "; ".join(f"{name} {in_ms(found[name])}" for name in batches)
    return found, f"{told}; the first of equal shapes {found['new batches of equal shapes, the first'] * 1e3:.1f} ms"


def trimmed(recipe: Recipe, engine: Engine, step: int, long: int) -> MixtureBatch:
    """A batch of the recipe's whose forms have the same numbers of rows at every step."""
    batch = draw_batch(recipe, engine.task, step)
    numbers = {"long": long, "short": next_token_stage(recipe)[1].batch_size // 2}

    def rows(part: Demonstrations, number: int) -> Demonstrations:
        return Demonstrations(part.prompts[:number], part.responses[:number], part.mask[:number])

    return MixtureBatch(**{form: rows(getattr(batch, form), number) for form, number in numbers.items()})


def joined(batch: MixtureBatch, eos: int) -> MixtureBatch:
    """The batch as one padded part."""
    parts = batch.parts
    longest = max(part.responses.shape[1] for part in parts)

    def column(name: str, value: int) -> torch.Tensor:
        found = [getattr(part, name) for part in parts]
        return torch.cat([F.pad(one, (0, longest - one.shape[1]), value=value) for one in found])

    whole = Demonstrations(
        torch.cat([part.prompts for part in parts]), column("responses", eos), column("mask", 0).bool()
    )
    none = Demonstrations(whole.prompts[:0], whole.responses[:0], whole.mask[:0])
    return MixtureBatch(short=none, long=whole)


def seconds(engine: Engine, batch: MixtureBatch) -> float:
    """Of gradient and step, the drawing left out."""
    began = engine.machine.clock()
    with engine.machine.autocast():
        next_token.accumulate_gradient(engine.model, batch, next_token_stage(engine.recipe)[1].loss_weighting)
    engine.apply(0)
    return engine.machine.clock() - began


def in_ms(values: list[float]) -> str:
    """Median and range."""
    low, middle, high = (f"{1e3 * value:.1f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} [{low}, {high}] ms"


def operators(engine: Engine, context: Callable[[], AbstractContextManager[Any]], first: int) -> Finding:
    """What the CPU spends its time in during two updates on new batches: operators by their own time."""
    steps = 2
    on = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if engine.machine.device == "cuda" else [])]
    with context():
        seconds(engine, draw_batch(engine.recipe, engine.task, first))
        with profile(activities=on) as profiler:
            for step in range(1, steps + 1):
                seconds(engine, draw_batch(engine.recipe, engine.task, first + step))
    rows = sorted(profiler.key_averages(), key=lambda one: -one.self_cpu_time_total)
    top = [
        {"name": one.key, "ms": one.self_cpu_time_total / 1e3 / steps, "calls": one.count / steps}
        for one in rows[:SHOWN]
    ]
    told = ", ".join(f"{one['name']} {one['ms']:.1f} ms in {one['calls']:g}" for one in top[:5])
    return {"operators": top}, f"of the CPU's time in an update: {told}"


def parts(engine: Engine) -> Finding:
    """Seconds of the parts of an update for each form of its batch: drawing, gradient, step; calls for GPU memory."""
    found: dict[str, Any] = {}
    recipe, machine = engine.recipe, engine.machine
    weighting = next_token_stage(recipe)[1].loss_weighting
    for name, (is_joined, max_tokens) in FORMS.items():
        each: dict[str, list[float]] = {"drawing": [], "gradient": [], "step": []}
        for step in range(NEW + 1):
            before = device_allocations(machine.device)
            marks = [machine.clock()]
            batch = draw_batch(recipe, engine.task, 1000 + step)
            batch = joined(batch, engine.task.vocabulary.eos) if is_joined else batch
            marks.append(machine.clock())
            with mock.patch.object(next_token, "MAX_TOKENS", max_tokens), machine.autocast():
                next_token.accumulate_gradient(engine.model, batch, weighting)
            marks.append(machine.clock())
            engine.apply(step)
            marks.append(machine.clock())
            each.setdefault("allocations", []).append(device_allocations(machine.device) - before)
            for part, start, end in zip(("drawing", "gradient", "step"), marks, marks[1:], strict=False):
                each[part].append(end - start)
        batch = draw_batch(recipe, engine.task, 1000)
        batch = joined(batch, engine.task.vocabulary.eos) if is_joined else batch
        with mock.patch.object(next_token, "MAX_TOKENS", max_tokens):
            pieces = list(next_token.pieces(batch, weighting, batch, torch.device("cpu")))
        found[name] = {part: values[1:] for part, values in each.items()} | {"pieces": len(pieces)}
    told = "; ".join(
        f"{name}: drawing {in_ms(one['drawing'])}, gradient of {one['pieces']} pieces {in_ms(one['gradient'])}, "
        f"step {in_ms(one['step'])}, {sum(one['allocations']):g} allocations"
        for name, one in found.items()
    )
    return found, told


def device_allocations(device: str) -> int:
    """Times that PyTorch has asked the driver for memory."""
    return torch.cuda.memory_stats().get("num_device_alloc", 0) if device == "cuda" else 0
