"""Problems of GSM-Symbolic from the real package."""

import sys
from typing import Any

import pytest

from chainlift.text.grading import numbers
from chainlift.text.grading.exact_grader import ExactGrader
from chainlift.text.overlap import OverlapSettings, overlap
from chainlift.text.sources.gsm_symbolic import INSTRUCTION, GsmSymbolic, GsmSymbolicSettings
from chainlift.text.templates import completion, content


def load(**settings: Any) -> tuple[Any, Any]:
    return GsmSymbolic(GsmSymbolicSettings(**settings)).load()


def test_the_package_has_as_many_templates_as_the_docstring_says() -> None:
    from reasoning_gym.arithmetic.gsm_symbolic import gsm_symbolic

    assert len(set(gsm_symbolic.tasks_ok)) == 85
    with pytest.raises(AssertionError):
        gsm_symbolic.GSMSymbolicDatasetConfig(difficulty=2.0).validate()


def test_solutions_lead_to_their_answers() -> None:
    """Every gold completion of both forms is right; the solutions' last line does not repeat the answer."""
    train, test = load(train_size=2000, test_size=500)
    problems = [*train, *test]
    grader = ExactGrader("####")
    for long in (True, False):
        texts = [content(completion(problem, long=long)) for problem in problems]
        assert all(grade.is_right for grade in grader.grade_all(texts, [p.answer for p in problems]))
    assert not any("####" in problem.solution or INSTRUCTION in problem.question for problem in problems)
    # Two templates end in words after the result: "15 liters of water out of the 23 liters".
    ends = [numbers.last(problem.solution.rpartition("\n")[2]) == numbers.read(problem.answer) for problem in problems]
    assert sum(ends) > 0.95 * len(problems)
    assert all(
        problem.steps == len(problem.solution.split("\n")) for problem in problems if "\n\n" not in problem.solution
    )


def test_names_and_numbers_do_not_depend_on_the_template() -> None:
    """Problems of one template have different names: with equal random numbers for both there would be one."""
    train, _ = load(train_size=4000, test_size=1)
    peeled = {p.question.split()[0] for p in train if " can peel " in p.question}
    assert len(peeled) > 3


def test_a_problem_does_not_depend_on_how_many_there_are() -> None:
    few, _ = load(train_size=10, test_size=1)
    many, test = load(train_size=1500, test_size=5)
    assert list(many[:10]) == list(few)
    assert (len(many), len(test)) == (1500, 5)
    limited, _ = load(train_size=1500, train_limit=7, test_size=1)
    assert list(limited) == list(few[:7])
    other, _ = load(train_size=10, test_size=1, seed=1)
    assert not {p.question for p in other} & {p.question for p in few}


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_no_test_question_is_a_training_question(seeds: tuple[int, int]) -> None:
    train, _ = load(train_size=8000, test_size=1, seed=seeds[0])
    _, test = load(train_size=1, test_size=1000, seed=seeds[1])
    assert not overlap(train, test).exact


def test_templates_can_be_held_out() -> None:
    """Then no test question is nearly a training question, with other names and numbers; by question most are."""
    near = {}
    for by in ("question", "template"):
        train, test = load(train_size=3000, test_size=300, held_out_by=by)
        near[by] = len(overlap(train, test, OverlapSettings(mask_numbers=True)).near)
    assert near["template"] == 0
    assert near["question"] > 200


def test_a_split_without_problems_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"task\.held_out: no test problem in 20000 at 1e-09"):
        load(held_out=1e-9)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ValueError, match=r"pip install 'chainlift\[gym\]'"):
        load()
