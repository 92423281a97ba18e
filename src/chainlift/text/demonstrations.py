"""The mixture D(p_cot) of long and short completions of the same problems, as rows of a prompt-completion data set.

Each problem has one uniform number (tasks/finite.py), and is long iff that number is below p_cot. So a larger p_cot
only turns short completions into long ones, and runs at two values of p_cot differ by these completions alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from chainlift.tasks import finite
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask
from chainlift.text.templates import Text


class Row(TypedDict):
    """A demonstration in one form."""

    prompt: Text
    completion: Text
    is_long: bool


def row(task: TextTask, problem: Problem, *, long: bool) -> Row:
    """The demonstration of a problem in one form."""
    return {"prompt": task.prompt(problem), "completion": task.completion(problem, long=long), "is_long": long}


def rows(task: TextTask, problems: Sequence[Problem], p_cot: float, *, seed: int) -> list[Row]:
    """A demonstration of each problem, in order, as in the first epoch of a stage with a constant mixture."""
    forms = (finite.forms(len(problems), seed=seed) < p_cot).tolist()
    return [row(task, problem, long=long) for problem, long in zip(problems, forms, strict=True)]
