"""The mixture D(p_cot) of long and short completions of the same problems, as rows of a prompt-completion data set.

Each problem has one uniform number of its own stream and is long iff that is below p_cot. So a larger p_cot turns some
short completions into long ones and no long one into a short one, and what is measured at two values differs by them
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch

from chainlift.seeding import stream
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask
from chainlift.text.templates import Text


class Row(TypedDict):
    """One demonstration."""

    prompt: Text
    completion: Text
    is_long: bool


def uniform(index: int, *, seed: int, epoch: int | None = None) -> float:
    """The number of problem `index`, which is long where p_cot is above it; epoch: one whose forms are redrawn."""
    name, indices = ("llm/mixture", (index,)) if epoch is None else ("llm/mixture/redrawn", (epoch, index))
    return float(torch.rand(1, generator=stream(seed, name, *indices), dtype=torch.float64))


def order(size: int, *, seed: int, stage: str, epoch: int) -> list[int]:
    """The order of an epoch's problems in a stage: one that goes on with another does not begin with the same ones."""
    return torch.randperm(size, generator=stream(seed, f"llm/{stage}/order", epoch)).tolist()


def row(task: TextTask, problem: Problem, *, long: bool) -> Row:
    """A problem in one form."""
    return {"prompt": task.prompt(problem), "completion": task.completion(problem, long=long), "is_long": long}


def rows(task: TextTask, problems: Sequence[Problem], p_cot: float, *, seed: int) -> list[Row]:
    """A row for each problem, in their order, as a stage of the constant mixture shows them in its first epoch."""
    forms = [uniform(index, seed=seed) < p_cot for index in range(len(problems))]
    return [row(task, problem, long=long) for problem, long in zip(problems, forms, strict=True)]
