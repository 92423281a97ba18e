"""The mixture D(p_cot) of long and short demonstrations, drawn as two parts of one form each.

Each demonstration is long with probability p_cot, independently, so the number of long ones among n is binomial. Rows
are exchangeable. So drawing that number first and giving the first rows the long form yields the same distribution.
Source: Tsilivis et al., arXiv 2510.11495.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Len
from pydantic import Field, field_validator
from torch import Tensor

from chainlift.seeding import stream
from chainlift.settings import Settings
from chainlift.tasks import finite
from chainlift.tasks.base import Demonstrations, Demonstrator, Task, output_mask
from chainlift.tasks.finite import Finite
from chainlift.tasks.lengths import masks_padding, prompt_lengths

Point = Annotated[list[float], Len(2, 2)]


class MixtureSettings(Settings):
    """Share of long demonstrations: a constant, or a schedule over a stage."""

    p_cot: Annotated[float, Field(ge=0, le=1, strict=False)] | list[Point] = 0.25
    """Probability that a demonstration is long (shows its chain of thought).

    A schedule is a list of points [share of the stage's steps, value]. Each value holds from its share on, and the
    first share is 0.
    """

    @field_validator("p_cot")
    @classmethod
    def _is_schedule(cls, value: float | list[Point]) -> float | list[Point]:
        if isinstance(value, list):
            shares = [share for share, _ in value]
            if not value or shares[0] != 0 or shares != sorted(set(shares)) or shares[-1] >= 1:
                raise ValueError(
                    "a schedule is a list of [share, value] whose shares begin with 0, rise and end below 1"
                )
            if not all(0 <= chance <= 1 for _, chance in value):
                raise ValueError("every value of a schedule is a probability, from 0 to 1")
        return value

    @property
    def points(self) -> list[tuple[float, float]]:
        """Points (share of the steps, value) of the schedule; a constant has one point."""
        return [(point[0], point[1]) for point in self.p_cot] if isinstance(self.p_cot, list) else [(0.0, self.p_cot)]

    def at(self, share: float) -> float:
        """The probability of a long demonstration when `share` (0 to 1) of a stage's steps are done."""
        return next(chance for start, chance in reversed(self.points) if start <= share)

    @property
    def last(self) -> float:
        """The probability at the end of a stage."""
        return self.points[-1][1]

    @property
    def largest(self) -> float:
        """The largest probability over a stage."""
        return max(chance for _, chance in self.points)

    @property
    def mean(self) -> float:
        """The mean probability over a stage."""
        ends = [share for share, _ in self.points[1:]] + [1.0]
        return sum((end - start) * chance for (start, chance), end in zip(self.points, ends, strict=True))


@dataclass(frozen=True)
class MixtureBatch:
    """A batch of demonstrations in two parts of one form each; a part may be empty."""

    short: Demonstrations
    long: Demonstrations

    @property
    def parts(self) -> tuple[Demonstrations, ...]:
        """The parts that are not empty."""
        return tuple(part for part in (self.short, self.long) if len(part.prompts))

    @property
    def num_tokens(self) -> int:
        """Prompt and output tokens of the whole batch."""
        return sum(part.num_tokens for part in self.parts)


def draw(
    task: Task, settings: MixtureSettings, n: int, *, seed: int, name: str, step: int, share: float = 0.0
) -> MixtureBatch:
    """Draw batch number `step` of n demonstrations.

    It comes from the streams `name`/split, `name`/prompts and, if the task draws its demonstrations,
    `name`/demonstrations. share: the share of the stage's steps that are done, for a schedule. A finite task's batches
    are consecutive parts of its epochs, permutations from the stream `name`/order. The form of a problem is fixed by a
    number of its own, in the stream mixture/forms, and a larger p_cot only turns short ones into long ones.
    """
    p_cot = settings.at(share)
    if isinstance(task, Finite):
        indices = finite.batch(task.num_train, n, seed=seed, name=name, step=step)
        is_long = finite.forms(task.num_train, seed=seed)[indices] < p_cot
        parts = [
            (task.train_prompts(indices[rows]), task.train_gold(indices[rows], long=long))
            for long, rows in ((False, ~is_long), (True, is_long))
        ]
    else:
        coins = torch.rand(n, generator=stream(seed, f"{name}/split", step), dtype=torch.float64)
        num_long = int((coins < p_cot).sum())
        prompts = task.prompts(n, stream(seed, f"{name}/prompts", step))
        draws = stream(seed, f"{name}/demonstrations", step) if isinstance(task, Demonstrator) else None
        parts = [
            (part, _responses(task, part, draws, long=long))
            for long, part in ((False, prompts[num_long:]), (True, prompts[:num_long]))
        ]
    short, long = (
        Demonstrations(
            part,
            responses,
            output_mask(responses, task.vocabulary.eos),
            prompt_lengths(task, part) if masks_padding(task) else None,
        )
        for part, responses in parts
    )
    return MixtureBatch(short, long)


def _responses(task: Task, prompts: Tensor, draws: torch.Generator | None, *, long: bool) -> Tensor:
    """The demonstrated responses to prompts: gold ones, or drawn by the task."""
    if isinstance(task, Demonstrator) and draws is not None:
        return task.demonstrate(prompts, draws, long=long)
    return task.gold(prompts, long=long)
