"""Completions judged as formulas, in worker processes that may hang, die, or run out of memory."""

import time
from collections.abc import Iterator

import pytest

from chainlift.text.grading import math_grader, math_text
from chainlift.text.grading.grade import Grade
from chainlift.text.grading.graders import grader
from chainlift.text.grading.math_grader import MathGrader
from chainlift.text.grading.math_pool import MathPool, Pair
from tests.text.grading.test_numbers import PIECES

EQUAL = [
    (r"\frac{1}{2}", "0.5"), (r"\frac{1}{2}", r"\dfrac12"), (r"\sqrt{8}", r"2\sqrt{2}"), ("x+1", "1+x"),
    (r"(x+1)^2", r"x^2+2x+1"), ("(1,2]", "(1,2]"), (r"\{1,2\}", r"\{2,1\}"), ("x=5", "5"), ("5", "x=5"),
    (r"3\text{ cm}", "3"), (r"90^\circ", "90"), ("1,000", "1000"), (r"\text{A}", "A"), ("(2,3)", "(2,3)"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"), (r"2\pi", r"\pi\cdot 2"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"), (r"[0,\infty)", r"[0,\infty)"), ("-3", "-3"), ("$5$", "5"),
]  # fmt: skip
UNEQUAL = [
    ("(2,3)", "(3,2)"), (r"\frac{1}{3}", "0.5"), ("x+1", "x-1"), ("(1,2]", "[1,2]"), (r"\{1,2\}", r"\{1,2,3\}"),
    ("5", "-5"), (r"\sqrt{2}", "1.4"), (r"2\pi", "6"), ("no idea", "7"),
]  # fmt: skip


@pytest.fixture(scope="module")
def judge() -> Iterator[MathGrader]:
    made = MathGrader("####", seconds=2)
    yield made
    made.close()


def marked(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [f"so #### {text}" for text, _ in pairs], [answer for _, answer in pairs]


@pytest.mark.slow
@pytest.mark.smoke
def test_what_is_equal_and_what_is_not_in_order(judge: MathGrader) -> None:
    pairs = [pair for both in zip(EQUAL, UNEQUAL, strict=False) for pair in both] + EQUAL[len(UNEQUAL) :]
    grades = judge.grade_all(*marked(pairs))
    assert [grade.is_right for grade in grades] == [pair in EQUAL for pair in pairs], [
        pair for pair, grade in zip(pairs, grades, strict=True) if grade.is_right != (pair in EQUAL)
    ]


@pytest.mark.slow
def test_where_the_answer_stands(judge: MathGrader) -> None:
    texts = [r"so \boxed{\frac{1}{2}}", "think\nit is $x+1$", "", "#### ", "#### " + "1+" * 2000 + "1"]
    found = judge.grade_all(texts, ["0.5", "1+x", "1", "1", "1"])
    assert found == [Grade(True, "boxed"), Grade(True, "formula"), *[Grade(False, "no answer")] * 3]


@pytest.mark.slow
def test_one_that_hangs_is_killed_and_counted_and_the_others_go_on(judge: MathGrader) -> None:
    judge.counts()
    started = time.monotonic()
    texts, answers = marked([("x+1", "1+x"), (r"9^{9^{9^{9}}}", "3"), ("2", "2"), (r"8^{9^{9^{9}}}", "3"), ("3", "4")])
    grades = judge.grade_all(texts, answers)
    assert [grade.is_right for grade in grades] == [True, False, True, False, False]
    assert {grades[1].outcome, grades[3].outcome} <= {"timeout", "crash"}
    counts = judge.counts()
    assert counts["timeouts"] + counts["crashes"] == 2
    assert time.monotonic() - started < 60
    assert judge.grade_all(["#### x+2"], ["2+x"]) == [Grade(True, "mark")]


@pytest.mark.slow
def test_many_at_once_and_again_after_the_end() -> None:
    judge = MathGrader("####")
    texts = [f"#### x+{i}" for i in range(200)]
    grades = judge.grade_all(texts, [f"{i + i % 2}+x" for i in range(200)])
    assert [one.is_right for one in grades] == [i % 2 == 0 for i in range(200)]
    judge.close()
    assert judge.grade_all(["#### x+1"], ["1+x"]) == [Grade(True, "mark")]  # used again, it begins anew
    judge.close()


def test_without_its_packages_it_is_told_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^task\.grader=math needs math_verify: pip install 'chainlift\[llm\]'"):
        grader("math", "####")


@pytest.mark.parametrize("piece", [*PIECES, "\\sqrt{", "\\text{", "((", "x=", "[", "\\$", "\\(", "$x", "\\\\"])
def test_long_answers_are_looked_at_in_time(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done before a worker with its clock is asked; and nothing that nests without end is given to one."""
    asked: list[Pair] = []
    monkeypatch.setattr(MathPool, "verdicts", lambda self, pairs: asked.extend(pairs) or dict.fromkeys(pairs, False))
    text = piece * (60_000 // len(piece))
    started = time.monotonic()
    judge = MathGrader("####")
    texts = [text, "#### " + text, text + "####", "#### " + text[:1999], f"#### {text[:900]}x{text[:900]}"]
    judge.grade_all(texts, ["x+1"] * len(texts))
    assert time.monotonic() - started < 20
    assert all(len(pair[0]) <= math_grader.MAX_CHARACTERS for pair in asked)
    assert not any("\\sqrt{" * 41 in pair[0] for pair in asked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("June 20", True),
        ("S 20", True),
        ("DUS 20", True),
        ("USD 20", False),
        (r"\text{USD} 20", False),
        ("20 USD", False),
    ],
)
def test_only_the_whole_name_of_a_currency_may_stand_before_a_number(text: str, expected: bool) -> None:
    assert math_text.begins_with_letters(text) == expected
