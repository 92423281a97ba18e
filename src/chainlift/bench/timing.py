"""What is timed, in turn: each repetition runs every case once, so that a machine whose speed drifts misleads none, in
an order of its own, so that no case always comes after the same other and the state in which that leaves the caches."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from chainlift.bench.machine import Machine
from chainlift.seeding import stream

Kind = Literal["ours", "peer"]


@dataclass(frozen=True)
class Work:
    """What an action did."""

    sequences: int = 0
    """Sequences sampled or learned from; 0 where nobody counts them."""
    tokens: int = 0
    """Tokens sampled or, where nothing is sampled, read; 0 where nobody counts them."""
    flops: float = 0.0
    """Floating-point operations that it could not do without; 0 where nobody counts them."""


@dataclass(frozen=True)
class Done:
    """One repetition: its seconds, and what was done in them."""

    seconds: float
    work: Work = Work()


Action = Callable[[int], Done]
"""Repetition number `step`, which names the data that it takes."""
Doing = Callable[[int], Callable[[], Work]]
"""The same without a clock; what it gives counts the work, after the clock has stopped."""


@dataclass(frozen=True)
class Case:
    """One way to do what a comparison is about; the first of its cases is what others are compared with."""

    name: str
    kind: Kind
    make: Callable[[], Action]
    """Loads what the action needs."""


@dataclass(frozen=True)
class Comparison:
    """Cases that are timed in turn."""

    action: str
    state: str
    """Of the model: early, late; or its size; empty where there is nothing to tell apart."""
    dtype: str
    cases: list[Case]
    product: tuple[int, int] = (0, 0)
    """Width and hidden width: the matrix product whose rate is the limit; (0, 0) where no limit is of interest."""

    @property
    def title(self) -> str:
        """For people."""
        return ", ".join(part for part in (self.action, self.state, self.dtype) if part)


class Ratio(NamedTuple):
    """Of pairs of repetitions."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.least:.2f}, {self.most:.2f}]"


def clocked(machine: Machine, doing: Doing) -> Action:
    """The action with a clock around it."""

    def run(step: int) -> Done:
        started = machine.clock()
        count = doing(step)
        return Done(machine.clock() - started, count())

    return run


def in_turn(
    cases: Sequence[Case],
    repeats: int,
    tick: Callable[[], None] = lambda: None,
    before_each: Callable[[], object] = lambda: None,
) -> dict[str, list[Done]]:
    """Repetitions 1 to `repeats` of every case by its name; repetition 0 pays for allocation and is left out.

    The order within a repetition is drawn from a fixed stream. `tick` is called after each run of a case, `before_each`
    before each repetition.
    """
    actions = {case.name: case.make() for case in cases}
    found: dict[str, list[Done]] = {name: [] for name in actions}
    names = list(actions)
    for step in range(repeats + 1):
        before_each()
        for number in torch.randperm(len(names), generator=stream(0, "turns", step)).tolist():
            found[names[number]].append(actions[names[number]](step))
            tick()
    return {name: done[1:] for name, done in found.items()}


def median_seconds(done: Sequence[Done]) -> float:
    """Median seconds of some repetitions."""
    return statistics.median(one.seconds for one in done)


def ratio(done: Sequence[Done], own: Sequence[Done]) -> Ratio:
    """How many times as long some repetitions took as our own of the same numbers."""
    ratios = [one.seconds / ours.seconds for one, ours in zip(done, own, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def per_second(done: Sequence[Done], quantity: Literal["tokens", "sequences", "flops"]) -> float | None:
    """Median rate of a part of the work; None where it was not counted."""
    rates = [getattr(one.work, quantity) / one.seconds for one in done]
    return statistics.median(rates) if all(rates) else None
