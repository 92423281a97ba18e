"""Tasks from elsewhere: the documented one runs as it stands, and what is no task is told in one line."""

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainlift import registry as registries
from chainlift.stages import recipe
from chainlift.tasks import registry
from tests.conftest import chainlift
from tests.documented import commands, files

TASK, CHAINS = (files()[name] for name in ("my_tasks.py", "my_chains.py"))
COMMANDS = [words for words in commands() if words[2].startswith("task=")]
SMALL = ["model.layers=1", "model.width=16", "model.heads=2", "pretrain.steps=4", "pretrain.batch_size=8"]
SMALL += ["posttrain.steps=2", "posttrain.prompts=4", "evaluate.prompts=16", "evaluate.during=16"]
SMALL += ["evaluate.pass_at_k_prompts=2", "evaluate.pass_at_k_samples=2"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the documented files; what is registered and imported in it is forgotten afterwards."""
    monkeypatch.setattr(registry.TASKS, "_pieces", dict(registry.TASKS._pieces))
    path = list(sys.path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_tasks.py").write_text(TASK, encoding="utf-8")
    (tmp_path / "my_chains.py").write_text(CHAINS, encoding="utf-8")
    yield tmp_path
    for name in ("my_tasks", "my_chains", "other"):
        sys.modules.pop(name, None)
    sys.path[:] = path


def test_the_documented_task_is_short() -> None:
    assert len(TASK.strip().splitlines()) <= 31
    assert len(COMMANDS) == 3


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[2])
def test_the_documented_commands_run(folder: Path, arguments: list[str]) -> None:
    done = chainlift(*arguments, *SMALL, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["posttrain"]["steps"] == 2
    assert summary["theory"]["threshold"] is None
    trusted = ["--trust"] if "my_" in arguments[2] else []
    again = chainlift("evaluate", f"runs/{summary['run_id']}", "--prompts", "16", "--json", *trusted, cwd=folder)
    assert again.returncode == 0, again.stderr


def test_a_class_is_found_in_the_working_directory(folder: Path) -> None:
    found = recipe.load("tiny", ["task={name: my_tasks:Alternating, d: 4}"])
    task = registry.build(found.task)
    prompt = task.vocabulary.encode("2101")[None]  # 2, 2-1, 2-1+0, 2-1+0-1
    assert task.vocabulary.decode(task.gold(prompt, long=True)[0]) == "2110<eos>"
    assert task.verify(prompt, task.gold(prompt, long=True)).chain_correct.all()
    wrong = task.gold(prompt, long=True)
    wrong[0, 1] = 0
    verdict = task.verify(prompt, wrong)
    assert (verdict.answer_correct.item(), verdict.chain_correct.item()) == (True, False)
    assert (verdict.steps.item(), verdict.steps_right.item()) == (4, 3)


@pytest.mark.parametrize("value", ["my_tasks:Alternating", "other"])
def test_an_entry_point_gives_it_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """One that names the class, and one whose module registers it."""
    register = 'TASKS.register("alternating", Alternating)'
    (folder / "other.py").write_text(
        f"from chainlift.tasks.registry import TASKS\n{TASK}\n{register}\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(folder))  # as if it were installed
    point = importlib.metadata.EntryPoint("alternating", value, registry.GROUP)
    monkeypatch.setattr(registries, "entry_points", lambda group: [point] if group == registry.GROUP else [])
    assert "alternating" in registry.TASKS.names()
    found = recipe.load("tiny", ["task={name: alternating, d: 4}"])
    assert registry.build(found.task).long_length == 4


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("nowhere:Task", "'nowhere:Task' cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("my_tasks:Nope", "'my_tasks:Nope' cannot be imported: AttributeError"),
        ("my_tasks:pad", "'my_tasks:pad' is not a valid task: it must be a class with an attribute Settings"),
        ("broken:Task", "'broken:Task' cannot be imported: SyntaxError"),
        ("alternatin", "task 'alternatin' is not known"),
        ("runing_sum", "task 'runing_sum' is not known, did you mean 'running_sum'"),
    ],
)
def test_what_cannot_be_imported_is_one_line(folder: Path, value: str, told: str) -> None:
    (folder / "broken.py").write_text("def (:\n", encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(told)) as found:
        recipe.load("tiny", [f"task={{name: '{value}'}}"])
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "settings, self.short_length, self.chance = settings, 1,",
            "settings, self.chance = settings,",
            "short_length",
        ),
        ("def verify", "def judge", "it lacks verify"),
        ('"2", EOS', '"2", "end"', "the last token of its vocabulary is not '<eos>'"),
        ("(n, self.prompt_length)", "(n, 3)", "prompts have the shape (4, 3), not (n, prompt_length) = (4, 10)"),
        ("generator=generator", "generator=None", "prompts differ from call to call with the same generator"),
        (
            "else sums[:, -1:]",
            "else sums[:, :1]",
            "verify says that gold(long=True) is not right: answer_correct is False",
        ),
        ("compare(self, prompts, responses)", "1 / 0", "ZeroDivisionError: division by zero"),
        ("self.long_length = settings.d", "settings.d; self.long_length = 5", "more than long_length + 1 = 6"),
    ],
)
def test_what_does_not_fulfil_the_protocol_is_one_line(folder: Path, before: str, after: str, told: str) -> None:
    assert before in TASK
    (folder / "other.py").write_text(TASK.replace(before, after), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(told)) as found:
        recipe.load("tiny", ["task={name: other:Alternating}"])
    assert "does not fulfill the protocol" in str(found.value)
    assert "\n" not in str(found.value)


def test_the_command_line_says_it_in_one_line_and_writes_nothing(folder: Path) -> None:
    done = chainlift("run", "tiny", "task.name=nowhere:Task", cwd=folder)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "runs").exists()
