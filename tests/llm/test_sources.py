from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from chainlift.llm import sources
from chainlift.llm.gsm8k import Gsm8kSettings
from chainlift.llm.problem import DataSettings, Problem, limited
from chainlift.llm.word_problems import WordProblemSettings
from chainlift.settings import Settings


class OwnSettings(DataSettings):
    name: Literal["own"] = "own"


@pytest.fixture
def own() -> Iterator[None]:
    problems = [Problem(f"{i}?", "s", "1") for i in range(9)]
    sources.register("own", OwnSettings, lambda settings: (limited(problems, settings.train_limit), problems))
    yield
    del sources.SOURCES["own"]


def test_sources_are_found_by_name(write_lines: Callable[..., Path]) -> None:
    rows = [{"question": f"{i}?", "answer": "One.\n#### 1"} for i in range(3)]
    write_lines("test.jsonl", rows)
    folder = str(write_lines("train.jsonl", rows))
    train, test = sources.source(Gsm8kSettings(path=folder, train_limit=2))
    assert (len(train), len(test)) == (2, 3)
    train, test = sources.source(WordProblemSettings(train_size=4, test_limit=2))
    assert (len(train), len(test)) == (4, 2)
    for name in sources.SOURCES:
        assert sources.settings_class(name).model_fields["name"].default == name


def test_one_can_be_added(own: None) -> None:
    train, test = sources.source(sources.settings_class("own")(train_limit=4))
    assert (len(train), len(test)) == (4, 9)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gsm8", r"data\.name: 'gsm8' is not known, did you mean 'gsm8k'\?; known: gsm8k, math, word_problems"),
        (None, r"data\.name must be the name of a source \(got None\)"),
        ([], r"data\.name must be the name of a source"),
    ],
)
def test_unknown_names(name: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        sources.settings_class(name)


def test_settings_without_a_name() -> None:
    with pytest.raises(ValueError, match=r"data\.name must be"):
        sources.source(DataSettings())
    assert issubclass(DataSettings, Settings)


def test_limits_are_nested_and_keep_the_order() -> None:
    problems = [Problem(f"question {i}", "s", str(i)) for i in range(100)]
    few, many = limited(problems, 10), limited(problems, 40)
    assert (len(few), len(many)) == (10, 40)
    assert set(few) < set(many)
    order = [int(problem.answer) for problem in many]
    assert order == sorted(order)
    assert order != list(range(40))
    assert set(limited(problems[::-1], 10)) == set(few)
    assert limited(problems, None) is problems
    assert limited(problems, 100) is problems


@pytest.mark.parametrize("texts", [("", "s", "1"), ("q", " ", "1"), ("q", "s", "\n"), ("q", "s", "1\n2")])
def test_problems_are_complete(texts: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"empty|more than one line"):
        Problem(*texts)
