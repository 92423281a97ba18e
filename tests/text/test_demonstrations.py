"""The mixture of forms over problems: of seed and index alone, nested in p_cot, binomial in number."""

import math
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlift.stages.kinds.trl_sft import _shuffled
from chainlift.tasks import finite
from chainlift.text import demonstrations
from chainlift.text.problem import Problem
from chainlift.text.sources.word_problems import WordProblems, WordProblemSettings
from chainlift.text.templates import TemplateSettings, is_long

PROBLEMS = [Problem(f"What is {i} + 1?", f"{i} + 1 = {i + 1}", str(i + 1), 1) for i in range(60)]


def task(**template: Any) -> WordProblems:
    return WordProblems(WordProblemSettings(template=TemplateSettings(**template)))


def forms(p_cot: float, seed: int = 0, epoch: int = 0, *, redraw: bool = False) -> list[bool]:
    """Which problems are long in an epoch of fine-tuning, in their own order."""
    size = len(PROBLEMS)
    shown = dict(islice(_shuffled(size, seed=seed, stage="pretrain", redraw=redraw), epoch * size, (epoch + 1) * size))
    return [shown[index] < p_cot for index in range(size)]


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_rows(template: str) -> None:
    chosen = task(template=template)
    rows = demonstrations.rows(chosen, PROBLEMS, 0.5, seed=0)
    assert len(rows) == 60
    assert {row["is_long"] for row in rows} == {True, False}
    for row in rows:
        assert set(row) == {"prompt", "completion", "is_long"}
        assert is_long(row["completion"], chosen.settings.template) == row["is_long"]


def test_forms_are_those_of_seed_and_index_alone() -> None:
    assert forms(0.5) == forms(0.5, epoch=3)
    assert forms(0.5) != forms(0.5, seed=1)
    rows = demonstrations.rows(task(), PROBLEMS[:7], 0.5, seed=0)
    assert [row["is_long"] for row in rows] == forms(0.5)[:7]


def test_redrawn_forms_differ_between_epochs() -> None:
    assert forms(0.5, redraw=True) == forms(0.5, redraw=True)
    assert forms(0.5, redraw=True) != forms(0.5, epoch=1, redraw=True)


@settings(max_examples=50, deadline=None)
@given(p=st.floats(0, 1), q=st.floats(0, 1), seed=st.integers(0, 99), redraw=st.booleans(), epoch=st.integers(0, 3))
def test_a_larger_share_only_turns_short_into_long(p: float, q: float, seed: int, redraw: bool, epoch: int) -> None:
    few, many = (forms(share, seed, epoch, redraw=redraw) for share in sorted((p, q)))
    assert all(b for a, b in zip(few, many, strict=True) if a)


def test_extremes() -> None:
    assert not any(forms(0.0))
    assert all(forms(1.0))


@pytest.mark.parametrize("redraw", [False, True])
@pytest.mark.parametrize("p_cot", [0.05, 0.25])
def test_the_share_is_binomial(p_cot: float, redraw: bool) -> None:
    """Mean and variance over 100 seeds of the number of long ones among 80 problems.

    The bounds are at 5 standard errors, that of the variance taken as a normal's and widened by a tenth; two-sided
    false alarm < 1e-6 for the mean and, as the variance of 100 counts is a little skewed, < 1e-4 for the variance.
    """
    epoch = 0 if redraw else None
    counts = [int((finite.forms(80, seed=seed, epoch=epoch) < p_cot).sum()) for seed in range(100)]
    mean, variance = 80 * p_cot, 80 * p_cot * (1 - p_cot)
    found = sum(counts) / 100
    assert abs(found - mean) < 5 * math.sqrt(variance / 100)
    spread = sum((count - found) ** 2 for count in counts) / 99
    assert abs(spread - variance) < 5 * variance * math.sqrt(2 / 99) * 1.1


def test_a_stage_that_goes_on_begins_with_other_problems_in_the_same_forms() -> None:
    both = [
        list(islice(_shuffled(60, seed=0, stage=name, redraw=False), 60)) for name in ("pretrain", "continued_pretrain")
    ]
    assert [index for index, _ in both[0]] != [index for index, _ in both[1]]
    assert dict(both[0]) == dict(both[1])
