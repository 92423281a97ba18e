"""The mixture D(p_cot) of long and short completions of the same problems, as rows of a prompt-completion data set.

Each problem has one uniform number of its own stream and is long iff that is below p_cot. So a larger p_cot turns some
short completions into long ones and no long one into a short one, and what is measured at two values differs by them
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from pydantic import Field

from chainlift.llm.problem import Problem
from chainlift.llm.templates import DEFAULT, TemplateSettings, Text, completion, prompt
from chainlift.seeding import stream
from chainlift.settings import Settings


class ProblemMixtureSettings(Settings):
    """The share of long completions."""

    p_cot: float = Field(default=0.25, ge=0, le=1, strict=False)
    """Probability that a problem is shown with its long completion."""
    redraw: bool = False
    """Whether a problem's form is drawn anew in every epoch, instead of once for all of them."""

    @property
    def last(self) -> float:
        """The probability at the end of a stage: it is constant here."""
        return self.p_cot


class Row(TypedDict):
    """One demonstration."""

    prompt: Text
    completion: Text
    is_long: bool


def drawn_long(index: int, settings: ProblemMixtureSettings, *, seed: int, epoch: int = 0) -> bool:
    """Whether problem number `index` is long: of seed and index, and of the epoch where forms are redrawn."""
    name, indices = ("llm/mixture/redrawn", (epoch, index)) if settings.redraw else ("llm/mixture", (index,))
    draws = stream(seed, name, *indices)
    return float(torch.rand(1, generator=draws, dtype=torch.float64)) < settings.p_cot


def rows(
    problems: Sequence[Problem],
    settings: ProblemMixtureSettings,
    templates: TemplateSettings = DEFAULT,
    *,
    seed: int,
    epoch: int = 0,
) -> list[Row]:
    """A row for each problem, in their order; epochs differ only where forms are redrawn."""
    found: list[Row] = []
    for index, problem in enumerate(problems):
        long = drawn_long(index, settings, seed=seed, epoch=epoch)
        found.append(
            {
                "prompt": prompt(problem, templates),
                "completion": completion(problem, templates, long=long),
                "is_long": long,
            }
        )
    return found
