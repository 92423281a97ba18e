"""Graders by name: numbers as exact fractions, or formulas."""

from __future__ import annotations

from typing import Literal

from chainlift.text.grading.exact_grader import ExactGrader
from chainlift.text.grading.grade import Grader
from chainlift.text.grading.math_grader import MathGrader

GraderName = Literal["exact", "math"]


def grader(name: GraderName, answer_mark: str) -> Grader:
    """A new grader by its name; ValueError in one line if it needs a package that is missing."""
    return ExactGrader(answer_mark) if name == "exact" else MathGrader(answer_mark)
