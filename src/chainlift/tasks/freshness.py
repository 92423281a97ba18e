"""How fresh the prompts of a measurement are: how many different prompts a task has, and how many training has seen.

There are three cases. If a task holds its evaluation prompts out of training, none has been seen. If it knows how many
prompts it can draw and how likely each is, the expected share that training has seen follows. Otherwise nothing is
known, as for published problems: only a comparison of their splits could tell (text/overlap.py).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from chainlift.tasks.base import HoldsOut, Task

MAX_COUNT = 2**53  # a larger count is not reported, because readers of JSON round it


@runtime_checkable
class CountsPrompts(Protocol):
    """A task that knows how many different prompts it can draw."""

    def prompt_counts(self) -> tuple[tuple[float, int], ...]:
        """Pairs (probability, number of prompts) of disjoint groups that cover all prompts.

        Within a group every prompt is equally likely.
        """
        ...


@dataclass(frozen=True)
class Freshness:
    """What is known about the prompts of a measurement; summaries and measurements contain as_dict()."""

    prompts_held_out: bool
    """Whether the task holds them out of training."""
    prompts_different: int | None
    """Number of different prompts that can be drawn; None if they are held out, more than 2^53, or not known."""
    prompts_seen_share: float | None
    """Expected share of the measured prompts that training has seen; None if not known."""

    def as_dict(self) -> dict[str, Any]:
        """The three fields as a mapping."""
        return asdict(self)


def freshness(task: Task, num_drawn: int | None) -> Freshness:
    """The freshness of a task's evaluation prompts after `num_drawn` draws in training (None: not known)."""
    if isinstance(task, HoldsOut) and getattr(task, "is_held_out", True):
        return Freshness(True, None, 0.0)
    if not isinstance(task, CountsPrompts):
        return Freshness(False, None, None)
    groups = task.prompt_counts()
    num_different = sum(count for _, count in groups)
    share = None if num_drawn is None else seen_share(groups, num_drawn)
    return Freshness(False, num_different if num_different <= MAX_COUNT else None, share)


def seen_share(groups: tuple[tuple[float, int], ...], num_drawn: int) -> float:
    """Expected share of new draws that are among `num_drawn` earlier ones: 1 - (1 - 1/N)^n for N equally likely."""
    return sum(chance * _seen_probability(chance, count, num_drawn) for chance, count in groups)


def _seen_probability(chance: float, count: int, num_drawn: int) -> float:
    """The probability that a prompt of a group has been drawn; `count` may exceed the range of a float."""
    prompt_chance = math.exp(math.log(chance) - math.log(count))
    if prompt_chance >= 1:
        return float(num_drawn > 0)
    return -math.expm1(num_drawn * math.log1p(-prompt_chance))
