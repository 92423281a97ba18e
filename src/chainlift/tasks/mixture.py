"""The mixture D(p_cot) of long and short demonstrations, drawn already split into its two parts.

Each sequence is long with probability p_cot, independently. The number of long ones among n is then binomial and, as
the rows are exchangeable, drawing that number first and giving the long form to the first rows is the same
distribution. Source: Tsilivis et al., arXiv 2510.11495.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from chainlift.seeding import stream
from chainlift.settings import Settings
from chainlift.tasks.base import Demonstrations, Demonstrator, Task, output_mask


class MixtureSettings(Settings):
    """The share of long demonstrations."""

    p_cot: float = Field(default=0.25, ge=0, le=1, strict=False)
    """Probability that a demonstration is long (shows its chain of thought)."""


@dataclass(frozen=True)
class MixtureBatch:
    """A batch of demonstrations in two parts, each of one form; a part may have no rows."""

    short: Demonstrations
    long: Demonstrations

    @property
    def parts(self) -> tuple[Demonstrations, ...]:
        """The parts that have rows."""
        return tuple(part for part in (self.short, self.long) if len(part.prompts))

    @property
    def num_tokens(self) -> int:
        """Prompt and output tokens of the whole batch."""
        return sum(part.num_tokens for part in self.parts)


def draw(task: Task, settings: MixtureSettings, n: int, *, seed: int, name: str, step: int) -> MixtureBatch:
    """Batch number `step` of n demonstrations from the streams `name`/split, `name`/prompts and, of tasks whose
    demonstrations are not gold, `name`/demonstrations.
    """
    coins = torch.rand(n, generator=stream(seed, f"{name}/split", step), dtype=torch.float64)
    num_long = int((coins < settings.p_cot).sum())
    prompts = task.prompts(n, stream(seed, f"{name}/prompts", step))
    draws = stream(seed, f"{name}/demonstrations", step) if isinstance(task, Demonstrator) else None

    def demonstrations(part: Tensor, *, long: bool) -> Demonstrations:
        if isinstance(task, Demonstrator) and draws is not None:
            responses = task.demonstrate(part, draws, long=long)
        else:
            responses = task.gold(part, long=long)
        return Demonstrations(part, responses, output_mask(responses, task.vocabulary.eos))

    return MixtureBatch(
        short=demonstrations(prompts[num_long:], long=False), long=demonstrations(prompts[:num_long], long=True)
    )
