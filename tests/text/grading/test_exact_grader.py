"""Completions judged as numbers: where the answer stands, what counts, and all of the real GSM8K."""

from fractions import Fraction

import pytest

from chainlift.text.grading import numbers
from chainlift.text.grading.exact_grader import ExactGrader
from chainlift.text.grading.grade import Grade
from chainlift.text.grading.graders import grader
from chainlift.text.sources.gsm8k import Gsm8k, Gsm8kSettings
from chainlift.text.templates import completion, content

CASES = [
    ("#### 72", "72", True, "mark"),
    (" 48 + 24 = 72\n#### 72", "72", True, "mark"),
    ("#### 72.0", "72", True, "mark"),
    ("#### $72", "72", True, "mark"),
    ("#### 72 clips", "72", True, "mark"),
    ("#### 1,072", "1072", True, "mark"),
    ("#### 1072", "1,072", True, "mark"),
    ("#### 1/2", "0.5", True, "mark"),
    ("#### 72\n#### 71", "72", True, "mark"),
    ("#### 71\n#### 72", "72", False, "mark"),
    ("#### 72\nshe is right", "72", True, "mark"),
    ("####72", "72", True, "mark"),
    ("#### 73", "72", False, "mark"),
    ("#### -72", "72", False, "mark"),
    ("#### 72 or 73", "72", False, "no answer"),
    ("72 ####", "72", False, "no answer"),
    ("#### x", "72", False, "no answer"),
    (r"so \boxed{72}", "72", True, "boxed"),
    (r"first \boxed{71}, then \boxed{72}", "72", True, "boxed"),
    (r"\boxed{\frac{1}{2}}", "0.5", True, "boxed"),
    (r"\boxed{72} is 100", "72", True, "boxed"),
    (r"\boxed{72", "72", True, "last number"),
    ("The answer is 72.", "72", True, "last number"),
    ("48 + 24 = 72", "72", True, "last number"),
    ("72 of 100", "72", False, "last number"),
    ("seventy-two", "72", False, "no answer"),
    ("", "72", False, "no answer"),
]


@pytest.mark.parametrize(("text", "answer", "is_right", "how"), CASES)
def test_one_completion(text: str, answer: str, is_right: bool, how: str) -> None:
    assert grader("exact", "####").grade_all([text], [answer]) == [Grade(is_right, how)]  # pyright: ignore[reportArgumentType]


def test_the_mark_is_the_templates() -> None:
    assert ExactGrader("Answer:").grade_all(["#### 5 Answer: 6"], ["6"])[0] == Grade(True, "mark")


def test_counts_are_those_since_the_last_call() -> None:
    judge = ExactGrader("####")
    judge.grade_all([text for text, *_ in CASES], [answer for _, answer, *_ in CASES])
    found = judge.counts()
    assert found["graded"] == len(CASES)
    assert found["by_last_number"] == sum(how == "last number" for *_, how in CASES)
    assert found["no_answer"] == sum(how == "no answer" for *_, how in CASES)
    assert set(judge.counts().values()) == {0}


def test_a_right_answer_that_is_no_number_is_told() -> None:
    with pytest.raises(ValueError, match=r"'x\+1' is not a number; use task\.grader=math"):
        ExactGrader("####").grade_all(["#### 5"], ["x+1"])


def test_every_answer_of_gsm8k_is_right_in_both_forms_and_one_more_is_wrong(gsm8k_folder: str) -> None:
    train, test = Gsm8k(Gsm8kSettings(path=gsm8k_folder)).load()
    problems = [*train, *test]
    assert len(problems) == 7473 + 1319
    judge, answers = ExactGrader("####"), [one.answer for one in problems]
    for long in (False, True):
        texts = [content(completion(one, long=long)) for one in problems]
        assert all(grade.is_right for grade in judge.grade_all(texts, answers))
    values = [numbers.read(answer) for answer in answers]
    assert all(isinstance(value, Fraction) for value in values)
    wrong = [f"#### {value + 1}" for value in values if value is not None]
    assert not any(grade.is_right for grade in judge.grade_all(wrong, answers))
    assert judge.counts()["no_answer"] == 0
