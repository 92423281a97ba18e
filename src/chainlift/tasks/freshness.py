"""How fresh the prompts of a measurement are: how many different ones a task has, and which share training has seen.

Three cases. A task may keep its evaluation prompts from training; then none has been seen. It may know how many
prompts it can draw and how likely each is; then chance decides, and the expected share follows. Or it knows neither.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from chainlift.tasks.base import HoldsOut, Task

MOST_TOLD = 2**53  # more prompts than this are not told as a number: JSON's readers know no larger ones exactly


@runtime_checkable
class CountsPrompts(Protocol):
    """A task that knows how many different prompts it can draw."""

    def prompt_counts(self) -> tuple[tuple[float, int], ...]:
        """(probability, number of prompts) of groups of prompts, alike likely within a group; disjoint, and all."""
        ...


@dataclass(frozen=True)
class Freshness:
    """What is known of a measurement's prompts; as_dict() is what summaries and measurements hold of it."""

    prompts_held_out: bool
    """Whether the task keeps them from training."""
    prompts_different: int | None
    """How many different ones can be drawn; None where they are held out, very many, or not known."""
    prompts_seen_share: float | None
    """Expected share of the measured prompts that training has seen; None if not known."""

    def as_dict(self) -> dict[str, Any]:
        """The three as a mapping."""
        return asdict(self)


def freshness(task: Task, drawn: int | None) -> Freshness:
    """The freshness of a task's evaluation prompts after `drawn` prompts were drawn in training (None: not known)."""
    if isinstance(task, HoldsOut):
        return Freshness(True, None, 0.0)
    if not isinstance(task, CountsPrompts):
        return Freshness(False, None, None)
    groups = task.prompt_counts()
    different = sum(count for _, count in groups)
    share = None if drawn is None else seen_share(groups, drawn)
    return Freshness(False, different if different <= MOST_TOLD else None, share)


def seen_share(groups: tuple[tuple[float, int], ...], drawn: int) -> float:
    """Expected share of fresh draws that are among `drawn` earlier ones: 1 - (1 - 1/N)^n where N are alike likely."""
    return sum(chance * _seen(chance, count, drawn) for chance, count in groups)


def _seen(chance: float, count: int, drawn: int) -> float:
    """The probability that a prompt of a group has been drawn; counts may be far beyond what a float holds."""
    each = math.exp(math.log(chance) - math.log(count))
    if each >= 1:
        return float(drawn > 0)
    return -math.expm1(drawn * math.log1p(-each))
