"""Interleaved timing of cases: each repetition runs every case once, in an order of its own.

Interleaving spreads a drift of the machine's speed over all cases. The random order prevents that a case always runs
after the same other one, with the caches that it leaves.
"""

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
    """The work done by an action."""

    sequences: int = 0
    """Sequences sampled or learned from; 0 if not counted."""
    tokens: int = 0
    """Tokens sampled or, without sampling, read; 0 if not counted."""
    flops: float = 0.0
    """Minimum floating-point operations; 0 if not counted."""


@dataclass(frozen=True)
class Repetition:
    """One timed repetition of a case."""

    seconds: float
    work: Work = Work()


Action = Callable[[int], Repetition]
"""(step) -> Repetition; `step` determines the data."""
UntimedAction = Callable[[int], Callable[[], Work]]
"""(step) -> function that counts the work; the clock stops before it is called."""


@dataclass(frozen=True)
class Case:
    """One implementation of a comparison's action; the first case is the baseline of the others."""

    name: str
    kind: Kind
    make: Callable[[], Action]
    """Loads what the action needs, and returns the action."""


@dataclass(frozen=True)
class Comparison:
    """Cases whose repetitions are interleaved."""

    action: str
    state: str
    """State of the model, `early` or `late`, or its size; empty if there is only one."""
    dtype: str
    cases: list[Case]
    product: tuple[int, int] = (0, 0)
    """(width, hidden width) of the matrix product whose rate is the limit; (0, 0): no limit."""

    @property
    def title(self) -> str:
        """Action, state and precision as text."""
        return ", ".join(part for part in (self.action, self.state, self.dtype) if part)


class Ratio(NamedTuple):
    """Ratio of times over pairs of repetitions."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.least:.2f}, {self.most:.2f}]"


def clocked(machine: Machine, action: UntimedAction) -> Action:
    """The action with a clock around it, and its work counted afterwards."""

    def run(step: int) -> Repetition:
        started = machine.clock()
        count = action(step)
        return Repetition(machine.clock() - started, count())

    return run


def interleaved(
    cases: Sequence[Case],
    repeats: int,
    tick: Callable[[], None] = lambda: None,
    before_each: Callable[[], object] = lambda: None,
) -> dict[str, list[Repetition]]:
    """Run every case `repeats` times, interleaved; {case: repetitions}, without a first one that pays for allocation.

    The order within a repetition comes from a fixed random stream. `tick` is called after each run of a case,
    `before_each` before each repetition.
    """
    actions = {case.name: case.make() for case in cases}
    repetitions: dict[str, list[Repetition]] = {name: [] for name in actions}
    names = list(actions)
    for step in range(repeats + 1):
        before_each()
        for number in torch.randperm(len(names), generator=stream(0, "turns", step)).tolist():
            repetitions[names[number]].append(actions[names[number]](step))
            tick()
    return {name: case_repetitions[1:] for name, case_repetitions in repetitions.items()}


def median_seconds(repetitions: Sequence[Repetition]) -> float:
    """Median seconds of the repetitions."""
    return statistics.median(repetition.seconds for repetition in repetitions)


def ratio(repetitions: Sequence[Repetition], ours: Sequence[Repetition]) -> Ratio:
    """Time of repetitions relative to ours, pair by pair."""
    ratios = [
        repetition.seconds / own_repetition.seconds
        for repetition, own_repetition in zip(repetitions, ours, strict=True)
    ]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def per_second(repetitions: Sequence[Repetition], quantity: Literal["tokens", "sequences", "flops"]) -> float | None:
    """Median rate of one quantity of the work; None if it was not counted."""
    rates = [getattr(repetition.work, quantity) / repetition.seconds for repetition in repetitions]
    return statistics.median(rates) if all(rates) else None
