"""Decoding by CUDA graphs: the cost of each part of recording a step, and a comparison of ways to record."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.gpu_check.record import Finding, Record, compared
from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine, draw_prompts
from chainlift.bench.states import States, rl_stage
from chainlift.bench.timing import Action, Case, Comparison, UntimedAction, clocked
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer.cuda_graphs import RECORD_AFTER, replaying
from chainlift.models.transformer.decoding import TransformerDecoder
from chainlift.models.transformer.transformer import Transformer
from chainlift.stages.recipe import Recipe

NEVER = 10**9
WAYS: dict[str, tuple[int, bool]] = {
    "plain steps": (NEVER, False),
    "recorded at once": (0, False),
    "recorded at once, bare": (0, True),
    f"recorded after {RECORD_AFTER} steps": (RECORD_AFTER, False),
    f"recorded after {RECORD_AFTER} steps, bare": (RECORD_AFTER, True),
}
"""{way: (plain steps before one is recorded, whether garbage collection and emptying the allocator are skipped)}."""


@contextmanager
def bare(graph: torch.cuda.CUDAGraph) -> Iterator[None]:
    """Capture like torch.cuda.graph, without waiting for the device, collecting garbage or emptying the allocator."""
    other_stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
    other_stream.wait_stream(current)
    with torch.cuda.stream(other_stream):
        graph.capture_begin()
        try:
            yield
        finally:
            graph.capture_end()
    current.wait_stream(other_stream)


def pieces_of_a_recording(recipe: Recipe, folder: Path, device: str) -> Finding:
    """Seconds of each part of recording a decoding step, of replaying it, and of a plain step; five repetitions."""
    machine = Machine(device)
    engine = Engine(recipe, folder, machine)
    prefix, last = split_prompts(draw_prompts(engine.task, rl_stage(recipe)[1].prompts, 0).to(device))
    model, tokens = engine.model, last[:, 0]
    assert isinstance(model, Transformer)  # its decoder is measured
    seconds: dict[str, list[float]] = {}

    def timed(name: str, action: Any) -> None:
        started = machine.clock()
        action()
        seconds.setdefault(name, []).append(machine.clock() - started)

    with torch.no_grad():
        cache = model.prefill(prefix)
        for _ in range(5):
            capacity = engine.task.long_length + 1
            decoder = TransformerDecoder(model.layers, model.embed, model.read_out, cache, capacity, fixed_shapes=True)
            graph = torch.cuda.CUDAGraph()
            timed("the first plain step", partial(decoder.step, tokens))
            timed("a plain step", partial(decoder.step, tokens))
            other_stream = torch.cuda.Stream()
            other_stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(other_stream):
                timed("a step on another stream, the first", partial(decoder.step, tokens))
                timed("a step on another stream", partial(decoder.step, tokens))
            torch.cuda.current_stream().wait_stream(other_stream)
            timed("collecting garbage", gc.collect)
            timed("emptying the allocator", torch.cuda.empty_cache)

            def record(decoder: TransformerDecoder = decoder, graph: torch.cuda.CUDAGraph = graph) -> None:
                with bare(graph):
                    decoder.step(tokens)

            timed("recording", record)
            timed("the first replay", graph.replay)
            timed("a replay", graph.replay)
    line = "; ".join(f"{name} {statistics.median(values) * 1e3:.2f} ms" for name, values in seconds.items())
    return dict(seconds), line


def ways(record: Record, measured_states: States) -> None:
    """Compare rollouts and evaluations of both states in each of the WAYS."""
    assert measured_states.late is not None
    machine = Machine(record.device)
    for state, folder in {"early": measured_states.early, "late": measured_states.late}.items():
        engine = Engine(measured_states.recipe, folder, machine)
        actions = {
            "rollout": engine.rollout(rl_stage(measured_states.recipe)[1]),
            "evaluate": engine.evaluate(measured_states.recipe.evaluate.during),
        }
        for name, action in actions.items():
            comparison = Comparison(name, state, machine.dtype, cases(machine, action))
            record.measure(f"graphs: {comparison.title}", partial(compared, comparison, machine, 5), needs=5)


def cases(machine: Machine, action: UntimedAction) -> list[Case]:
    """A case of the action for each of the WAYS."""

    def make(after: int, is_bare: bool) -> Action:
        plain_action = clocked(machine, action)

        def act(step: int) -> Any:
            with ExitStack() as stack:
                if after != NEVER:
                    stack.enter_context(replaying(after))
                if is_bare:
                    stack.enter_context(mock.patch.object(torch.cuda, "graph", bare))
                return plain_action(step)

        return act

    return [
        Case(name, "ours" if after == NEVER else "peer", partial(make, after, is_bare))
        for name, (after, is_bare) in WAYS.items()
    ]
