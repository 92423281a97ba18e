"""The mixture D(p_cot) of long and short demonstrations, drawn already split into its two parts.

Each sequence is long with probability p_cot, independently. The number of long ones among n is then binomial and, as
the rows are exchangeable, drawing that number first and giving the long form to the first rows is the same
distribution. Source: Tsilivis et al., arXiv 2510.11495.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field

from chainlift.seeding import stream
from chainlift.settings import Settings
from chainlift.tasks.base import Demonstrations, Task


class MixtureSettings(Settings):
    """The share of long demonstrations."""

    p_cot: float = Field(default=0.25, ge=0, le=1, strict=False)
    """Probability that a demonstration is long (shows its chain of thought)."""


@dataclass(frozen=True)
class MixtureBatch:
    """A batch of demonstrations in two parts, each of one length; a part may have no rows."""

    short: Demonstrations
    long: Demonstrations

    @property
    def parts(self) -> tuple[Demonstrations, ...]:
        """The parts that have rows."""
        return tuple(part for part in (self.short, self.long) if len(part.prompts))

    @property
    def num_tokens(self) -> int:
        """Prompt and output tokens of the whole batch."""
        return sum(part.prompts.numel() + part.responses.numel() for part in self.parts)


def draw(task: Task, settings: MixtureSettings, n: int, *, seed: int, name: str, step: int) -> MixtureBatch:
    """Batch number `step` of n demonstrations from the streams `name`/split and `name`/prompts."""
    coins = torch.rand(n, generator=stream(seed, f"{name}/split", step), dtype=torch.float64)
    num_long = int((coins < settings.p_cot).sum())
    prompts = task.prompts(n, stream(seed, f"{name}/prompts", step))
    long, short = prompts[:num_long], prompts[num_long:]
    return MixtureBatch(
        short=Demonstrations(short, task.gold(short, long=False)),
        long=Demonstrations(long, task.gold(long, long=True)),
    )
