"""Decoding by CUDA graphs: what recording a step costs piece by piece, and which way of recording would pay."""

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
"""After how many plain steps one is recorded, and whether nothing is collected and emptied before that."""


@contextmanager
def bare(graph: torch.cuda.CUDAGraph) -> Iterator[None]:
    """What torch.cuda.graph does, without waiting for the device, collecting garbage and emptying the allocator."""
    aside, current = torch.cuda.Stream(), torch.cuda.current_stream()
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        graph.capture_begin()
        try:
            yield
        finally:
            graph.capture_end()
    current.wait_stream(aside)


def pieces_of_a_recording(recipe: Recipe, folder: Path, device: str) -> Finding:
    """Seconds of each piece of recording a decoding step, of replaying it, and of a plain step; five times."""
    machine = Machine(device)
    engine = Engine(recipe, folder, machine)
    prefix, last = split_prompts(draw_prompts(engine.task, rl_stage(recipe)[1].prompts, 0).to(device))
    model, tokens = engine.model, last[:, 0]
    assert isinstance(model, Transformer)  # what is taken apart here is its decoder
    each: dict[str, list[float]] = {}

    def timed(name: str, doing: Any) -> None:
        began = machine.clock()
        doing()
        each.setdefault(name, []).append(machine.clock() - began)

    with torch.no_grad():
        cache = model.prefill(prefix)
        for _ in range(5):
            room = engine.task.long_length + 1
            decoder = TransformerDecoder(model.layers, model.embed, model.read_out, cache, room, fixed_shapes=True)
            graph = torch.cuda.CUDAGraph()
            timed("the first plain step", partial(decoder.step, tokens))
            timed("a plain step", partial(decoder.step, tokens))
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                timed("a step on another stream, the first", partial(decoder.step, tokens))
                timed("a step on another stream", partial(decoder.step, tokens))
            torch.cuda.current_stream().wait_stream(aside)
            timed("collecting garbage", gc.collect)
            timed("emptying the allocator", torch.cuda.empty_cache)

            def record(decoder: TransformerDecoder = decoder, graph: torch.cuda.CUDAGraph = graph) -> None:
                with bare(graph):
                    decoder.step(tokens)

            timed("recording", record)
            timed("the first replay", graph.replay)
            timed("a replay", graph.replay)
    told = "; ".join(f"{name} {statistics.median(values) * 1e3:.2f} ms" for name, values in each.items())
    return dict(each), told


def ways(record: Record, found: States) -> None:
    """Rollouts and evaluations of both states in each of the WAYS, in turn."""
    assert found.late is not None
    machine = Machine(record.device)
    for state, folder in {"early": found.early, "late": found.late}.items():
        engine = Engine(found.recipe, folder, machine)
        doings = {
            "rollout": engine.rollout(rl_stage(found.recipe)[1]),
            "evaluate": engine.evaluate(found.recipe.evaluate.during),
        }
        for action, doing in doings.items():
            comparison = Comparison(action, state, machine.dtype, cases(machine, doing))
            record.measure(f"graphs: {comparison.title}", partial(compared, comparison, machine, 5), needs=5)


def cases(machine: Machine, doing: UntimedAction) -> list[Case]:
    """The action in each of the WAYS."""

    def made(after: int, is_bare: bool) -> Action:
        usual = clocked(machine, doing)

        def act(step: int) -> Any:
            with ExitStack() as stack:
                if after != NEVER:
                    stack.enter_context(replaying(after))
                if is_bare:
                    stack.enter_context(mock.patch.object(torch.cuda, "graph", bare))
                return usual(step)

        return act

    return [
        Case(name, "ours" if after == NEVER else "peer", partial(made, after, is_bare))
        for name, (after, is_bare) in WAYS.items()
    ]
