"""The mixture D(p_cot) of long and short completions of the same problems, as rows of a prompt-completion data set.

Each problem has one uniform number from its own stream, and is long iff that number is below p_cot. So a larger p_cot
only turns short completions into long ones, and runs at two values of p_cot differ by these completions alone.
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
    """A demonstration in one form."""

    prompt: Text
    completion: Text
    is_long: bool


def uniform(index: int, *, seed: int, epoch: int | None = None) -> float:
    """The uniform number of problem `index`, which is long iff p_cot is larger; epoch: for forms redrawn each epoch."""
    name, indices = ("llm/mixture", (index,)) if epoch is None else ("llm/mixture/redrawn", (epoch, index))
    return float(torch.rand(1, generator=stream(seed, name, *indices), dtype=torch.float64))


def order(size: int, *, seed: int, stage: str, epoch: int) -> list[int]:
    """The order of problems in an epoch of a stage; every stage has its own, so a later one does not repeat it."""
    return torch.randperm(size, generator=stream(seed, f"llm/{stage}/order", epoch)).tolist()


def row(task: TextTask, problem: Problem, *, long: bool) -> Row:
    """The demonstration of a problem in one form."""
    return {"prompt": task.prompt(problem), "completion": task.completion(problem, long=long), "is_long": long}


def rows(task: TextTask, problems: Sequence[Problem], p_cot: float, *, seed: int) -> list[Row]:
    """A demonstration of each problem, in order, as in the first epoch of a stage with a constant mixture."""
    forms = [uniform(index, seed=seed) < p_cot for index in range(len(problems))]
    return [row(task, problem, long=long) for problem, long in zip(problems, forms, strict=True)]
