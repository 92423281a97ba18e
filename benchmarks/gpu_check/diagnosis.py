"""Part 0: profile of a next-token update on a GPU, in float32 and bfloat16, and the cost of recording graphs."""

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
from chainlift.models.passes import MAX_TOKENS
from chainlift.models.transformer import attention
from chainlift.models.transformer.transformer import Transformer
from chainlift.stages.recipe import Recipe
from chainlift.tasks.base import Demonstrations
from chainlift.tasks.mixture import MixtureBatch

NEW = 5  # batches whose shapes are new
SHOWN = 15  # operators
LONG_SHARE = 0.15  # for equal shapes: three standard deviations below the recipe's share, so that there are enough rows
FORMS: dict[str, tuple[bool, int]] = {
    "as it is": (False, MAX_TOKENS),
    "each form in one piece": (False, 10**9),
    "both forms padded": (True, MAX_TOKENS),
    "one padded batch": (True, 10**9),
}
"""{name: (whether the two forms are padded and joined, tokens per pass)}; the last is a peer's batch."""


@contextmanager
def plain_cublas() -> Any:
    """Matrix products by cuBLAS instead of cuBLASLt, which searches for an algorithm."""
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
"""{suspected cause: (precisions, context manager that switches it on or off)}."""


def run(record: Record, work: Path) -> None:
    """Make all measurements, the most important first."""
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
    """Seconds of an update on the same batch repeatedly, on new batches of equal shapes, and on batches of new shapes.

    first: number of the first batch, so that variants share no batches.
    """
    recipe = engine.recipe
    long = max(round(LONG_SHARE * next_token_stage(recipe)[1].batch_size), 1)
    batches = {
        "the same batch": [draw_batch(recipe, engine.task, first)] * NEW,
        "new batches of equal shapes": [trimmed(recipe, engine, first + 1 + step, long) for step in range(NEW)],
        "new batches": [draw_batch(recipe, engine.task, first + 20 + step) for step in range(NEW)],
    }
    timings: dict[str, Any] = {}
    with context():
        for name, batch_list in batches.items():
            timings[name] = [seconds(engine, batch) for batch in batch_list]
            if name != "new batches":  # the first one pays for the shapes
                timings[f"{name}, the first"] = timings[name].pop(0)
    line = "; ".join(f"{name} {in_ms(timings[name])}" for name in batches)
    first_new = timings["new batches of equal shapes, the first"]
    return timings, f"{line}; the first of equal shapes {first_new * 1e3:.1f} ms"


def trimmed(recipe: Recipe, engine: Engine, step: int, long: int) -> MixtureBatch:
    """A batch of the recipe with the same number of rows of each form at every step."""
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
        tensors = [getattr(part, name) for part in parts]
        return torch.cat([F.pad(tensor, (0, longest - tensor.shape[1]), value=value) for tensor in tensors])

    whole = Demonstrations(
        torch.cat([part.prompts for part in parts]), column("responses", eos), column("mask", 0).bool()
    )
    empty = Demonstrations(whole.prompts[:0], whole.responses[:0], whole.mask[:0])
    return MixtureBatch(short=empty, long=whole)


def seconds(engine: Engine, batch: MixtureBatch) -> float:
    """Seconds of gradient and step, without drawing the batch."""
    began = engine.machine.clock()
    with engine.machine.autocast():
        next_token.accumulate_gradient(engine.model, batch, next_token_stage(engine.recipe)[1].loss_weighting)
    engine.apply(0)
    return engine.machine.clock() - began


def in_ms(values: list[float]) -> str:
    """Median and range in ms, as text."""
    low, middle, high = (f"{1e3 * value:.1f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} [{low}, {high}] ms"


def operators(engine: Engine, context: Callable[[], AbstractContextManager[Any]], first: int) -> Finding:
    """CPU operators by self time during two updates on new batches."""
    steps = 2
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if engine.machine.device == "cuda" else [])]
    with context():
        seconds(engine, draw_batch(engine.recipe, engine.task, first))
        with profile(activities=activities) as profiler:
            for step in range(1, steps + 1):
                seconds(engine, draw_batch(engine.recipe, engine.task, first + step))
    rows = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    top = [
        {"name": event.key, "ms": event.self_cpu_time_total / 1e3 / steps, "calls": event.count / steps}
        for event in rows[:SHOWN]
    ]
    line = ", ".join(f"{event['name']} {event['ms']:.1f} ms in {event['calls']:g}" for event in top[:5])
    return {"operators": top}, f"of the CPU's time in an update: {line}"


def parts(engine: Engine) -> Finding:
    """Seconds of drawing, gradient and step for each form of the batch, and the number of GPU allocations."""
    timings: dict[str, Any] = {}
    recipe, machine = engine.recipe, engine.machine
    weighting = next_token_stage(recipe)[1].loss_weighting
    for name, (is_joined, max_tokens) in FORMS.items():
        form_timings: dict[str, list[float]] = {"drawing": [], "gradient": [], "step": []}
        for step in range(NEW + 1):
            before = device_allocations(machine.device)
            marks = [machine.clock()]
            batch = draw_batch(recipe, engine.task, 1000 + step)
            batch = joined(batch, engine.task.vocabulary.eos) if is_joined else batch
            marks.append(machine.clock())
            with mock.patch.object(Transformer, "tokens_per_pass", max_tokens), machine.autocast():
                next_token.accumulate_gradient(engine.model, batch, weighting)
            marks.append(machine.clock())
            engine.apply(step)
            marks.append(machine.clock())
            form_timings.setdefault("allocations", []).append(device_allocations(machine.device) - before)
            for part, start, end in zip(("drawing", "gradient", "step"), marks, marks[1:], strict=False):
                form_timings[part].append(end - start)
        batch = draw_batch(recipe, engine.task, 1000)
        batch = joined(batch, engine.task.vocabulary.eos) if is_joined else batch
        pieces = list(next_token.pieces(batch, weighting, batch, torch.device("cpu"), max_tokens))
        timings[name] = {part: values[1:] for part, values in form_timings.items()} | {"pieces": len(pieces)}
    line = "; ".join(
        f"{name}: drawing {in_ms(timing['drawing'])}, "
        f"gradient of {timing['pieces']} pieces {in_ms(timing['gradient'])}, "
        f"step {in_ms(timing['step'])}, {sum(timing['allocations']):g} allocations"
        for name, timing in timings.items()
    )
    return timings, line


def device_allocations(device: str) -> int:
    """Number of PyTorch's allocations from the driver."""
    return torch.cuda.memory_stats().get("num_device_alloc", 0) if device == "cuda" else 0
