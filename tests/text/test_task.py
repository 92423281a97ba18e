"""Sources of problems are tasks by name, one's own among them; limits are nested; problems are complete."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from chainlift.stages import recipe as recipes
from chainlift.tasks import registry
from chainlift.tasks.registry import TASKS
from chainlift.tasks.running_sum import RunningSumSettings
from chainlift.text import task as text_tasks
from chainlift.text.problem import Problem, Splits
from chainlift.text.sources.gsm8k import Gsm8kSettings
from chainlift.text.sources.word_problems import WordProblemSettings
from chainlift.text.task import TextTask, TextTaskSettings, limited

SOME = [Problem("1?", "s", "1")]
SOURCES = ("gsm8k", "math", "word_problems")


class OwnSettings(TextTaskSettings):
    name: Literal["own"] = "own"


class Own(TextTask):
    """A source from elsewhere."""

    Settings = OwnSettings

    def load(self) -> Splits:
        problems = [Problem(f"{i}?", "s", "1") for i in range(9)]
        return limited(problems, self.settings.train_limit), problems


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS, "_pieces", dict(TASKS._pieces))
    TASKS.register("own", Own)


def test_sources_are_found_by_name(write_lines: Callable[..., Path]) -> None:
    rows = [{"question": f"{i}?", "answer": "One.\n#### 1"} for i in range(3)]
    write_lines("test.jsonl", rows)
    folder = str(write_lines("train.jsonl", rows))
    train, test = text_tasks.of(Gsm8kSettings(path=folder, train_limit=2)).problems
    assert (len(train), len(test)) == (2, 3)
    train, test = text_tasks.of(WordProblemSettings(train_size=4, test_limit=2)).problems
    assert (len(train), len(test)) == (4, 2)
    assert set(SOURCES) <= set(TASKS.names())
    for name in SOURCES:
        settings = registry.settings_class(name)
        assert issubclass(settings, TextTaskSettings)
        assert settings.model_fields["name"].default == name


def test_problems_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    monkeypatch.setattr(Own, "load", lambda self: loads.append(1) or (SOME, SOME))
    task = Own(OwnSettings())
    assert loads == []
    assert task.problems is task.problems
    assert loads == [1]


def test_one_can_be_added(own: None) -> None:
    train, test = text_tasks.of(registry.settings_class("own").model_validate({"train_limit": 4})).problems
    assert (len(train), len(test)) == (4, 9)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gsm8", r"^task: task 'gsm8' is not known, did you mean 'gsm8k'\?; known: .*gsm8k, .*math, .*word_problems"),
        (None, r"^task: task None is not known; known: "),
        ([], r"^task: task \[\] is not known; known: "),
    ],
)
def test_unknown_names(name: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        recipes.build({"task": {"name": name}})


def test_settings_without_a_name() -> None:
    with pytest.raises(ValueError, match=r"^task None is not known; known: "):
        text_tasks.of(TextTaskSettings())


def test_a_task_of_symbols_is_none_of_text() -> None:
    assert text_tasks.is_text(WordProblemSettings())
    assert not text_tasks.is_text(RunningSumSettings())
    with pytest.raises(ValueError, match=r"^task 'running_sum' is not a task of text$"):
        text_tasks.of(RunningSumSettings())
    with pytest.raises(ValueError, match=r"^task 'word_problems' is not a task of symbols, which this needs$"):
        registry.build(WordProblemSettings())


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


class Unfinished(TextTask):
    """A source that forgets to load."""

    Settings = OwnSettings


def test_a_source_without_load_is_refused_when_it_is_registered(own: None) -> None:
    with pytest.raises(ValueError, match=r"it lacks load"):
        TASKS.register("unfinished", Unfinished)


@pytest.mark.parametrize(("splits", "told"), [(([], SOME), "no training problems"), ((SOME, []), "no test problems")])
def test_a_source_without_problems_says_so(splits: Splits, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "load", lambda self: splits)
    with pytest.raises(ValueError, match=rf"task 'own' has {told}"):
        Own(OwnSettings()).problems  # noqa: B018 (reading it loads)


def test_names_of_shipped_sources_are_taken_before_any_of_them_is_imported() -> None:
    code = """
import sys
from chainlift.tasks.registry import TASKS, settings_class
assert {"gsm8k", "math", "word_problems"} <= set(TASKS.names()) and TASKS.is_shipped("math")
assert "chainlift.text.sources.gsm8k" not in sys.modules
try:
    TASKS.register("gsm8k", object)
except ValueError as error:
    print(error)
print(settings_class("gsm8k").__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "task 'gsm8k' is shipped with chainlift; choose another name",
        "Gsm8kSettings",
    ]
