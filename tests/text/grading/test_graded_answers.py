"""Both graders, and two conventions in wide use, on a table of answers whose verdicts are known.

graded_answers.jsonl holds a response, the right answer, whether the response is right, which grader it is for, and why.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from chainlift.text.grading.exact_grader import ExactGrader
from chainlift.text.grading.grade import Grader
from chainlift.text.grading.math_grader import MathGrader
from tests.text.grading.conventions import last_number, strict_mark


class Graded(NamedTuple):
    """A response, the right answer, and whether the response is right."""

    grader: str
    kind: str
    response: str
    gold: str
    right: bool


LINES = Path(__file__).with_name("graded_answers.jsonl").read_text(encoding="utf-8").splitlines()
TABLE = [Graded(**json.loads(line)) for line in LINES]
EXACT = [row for row in TABLE if row.grader == "exact"]
MATH = [row for row in TABLE if row.grader == "math"]
DOCUMENT = Path(__file__).parents[3] / "docs" / "llm.md"


def right_by(judge: Grader, rows: Sequence[Graded]) -> list[bool]:
    return [grade.is_right for grade in judge.grade_all([row.response for row in rows], [row.gold for row in rows])]


@pytest.fixture(scope="module")
def math_verdicts() -> Iterator[list[bool]]:
    judge = MathGrader("####", seconds=20)
    yield right_by(judge, MATH)
    judge.close()


def mistakes(rows: Sequence[Graded], verdicts: Sequence[bool]) -> list[Graded]:
    return [row for row, verdict in zip(rows, verdicts, strict=True) if verdict != row.right]


def test_the_table_is_large_and_says_nothing_twice() -> None:
    assert len(TABLE) >= 150
    assert len(set(TABLE)) == len(TABLE)
    assert not {row[:-1] for row in TABLE if row.right} & {row[:-1] for row in TABLE if not row.right}


def test_the_exact_grader_agrees_with_the_table() -> None:
    assert mistakes(EXACT, right_by(ExactGrader("####"), EXACT)) == []


@pytest.mark.slow
def test_the_math_grader_agrees_with_the_table(math_verdicts: list[bool]) -> None:
    assert mistakes(MATH, math_verdicts) == []


def figures(name: str, rows: Sequence[Graded], verdicts: Sequence[bool]) -> str:
    """A line of the document's table."""
    wrong = mistakes(rows, verdicts)
    missed, granted = sum(row.right for row in wrong), sum(not row.right for row in wrong)
    right = sum(row.right for row in rows)
    return f"| {name} | {missed} of {right} | {granted} of {len(rows) - right} |"


@pytest.mark.slow
def test_the_document_has_the_figures(math_verdicts: list[bool]) -> None:
    conventions: dict[str, Callable[[str, str], bool]] = {"last number": last_number, "strict mark": strict_mark}
    lines = []
    for grader, rows, verdicts in (
        ("exact", EXACT, right_by(ExactGrader("####"), EXACT)),
        ("math", MATH, math_verdicts),
    ):
        lines.append(figures(f"`grader={grader}`", rows, verdicts))
        for name, convention in conventions.items():
            own = [convention(row.response, row.gold) for row in rows]
            lines.append(figures(f"{name}, on the rows of `{grader}`", rows, own))
    written = DOCUMENT.read_text(encoding="utf-8")
    assert [line for line in lines if line not in written] == []
