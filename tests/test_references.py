"""Whose word imports code: the user's own, typed or passed in Python; a file's only where the user trusts it."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chainlift import references
from chainlift.models import families
from chainlift.models.hub import model_folder
from chainlift.references import Trust
from chainlift.seeding import stream
from chainlift.stages import recipe
from chainlift.tasks import registry
from tests.in_process import command
from tests.tasks.test_registry import SMALL, TASK

REFERENCE = "evil_tasks:Alternating"
RAN = "ran.txt"
EVIL = f"import pathlib\npathlib.Path({RAN!r}).write_text('')\n{TASK}\n\ndef chain(entry):\n    return 'x'\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a module that leaves a file behind when it is imported."""
    path = list(sys.path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil_tasks.py").write_text(EVIL, encoding="utf-8")
    forget()
    yield tmp_path
    forget()
    sys.path[:] = path


def forget() -> None:
    """What was imported is as if it had not been."""
    sys.modules.pop("evil_tasks", None)


def has_run(folder: Path) -> bool:
    """Whether the module was imported since the last time; its folder is no longer on the path either way."""
    forget()
    here = str(folder)
    was_on_path = here in sys.path
    while here in sys.path:
        sys.path.remove(here)
    ran = (folder / RAN).exists()
    (folder / RAN).unlink(missing_ok=True)
    assert was_on_path == ran
    return ran


def checkpoint(folder: Path) -> Path:
    """A checkpoint whose task is the module's, as somebody else would send it."""
    found = recipe.load("tiny", [f"task={{name: {REFERENCE}, d: 4}}", *SMALL[:3]])
    task = registry.build(found.task)
    target = folder / "model"
    target.mkdir()
    model_folder.save(families.build(found.model, task).initialize(stream(0, "model")), task, target)
    assert has_run(folder)
    return target


@pytest.mark.parametrize("arguments", [["evaluate", "--prompts", "8"], ["sample"], ["export", "out"]])
def test_a_checkpoint_runs_code_only_where_it_is_trusted(folder: Path, arguments: list[str]) -> None:
    model = checkpoint(folder)
    verb, *rest = arguments
    ended = command(verb, model, *rest)
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert f"{REFERENCE!r} is code, and {model / 'config.json'} names it, not you" in line
    assert "--trust" in line
    assert not has_run(folder)
    assert not (folder / "out").exists()
    ended = command(verb, model, *rest, "--trust")
    assert ended.status == 0, ended.err
    assert has_run(folder)


def test_what_was_imported_before_gives_a_file_no_right(folder: Path) -> None:
    model = checkpoint(folder)
    recipe.load("tiny", [f"task={{name: {REFERENCE}}}"])
    assert "evil_tasks" in sys.modules
    with pytest.raises(ValueError, match="is code, and"):
        model_folder.load(model)
    model_folder.load(model, trust=True)
    model_folder.load(model, typed=[REFERENCE])
    assert has_run(folder)


def recipe_file(folder: Path, changes: dict[str, object]) -> Path:
    content = yaml.safe_load(recipe.shipped()["tiny"].read_text(encoding="utf-8"))
    content |= {"name": "evil", "mixture": {"p_cot": 0}, **changes}
    file = folder / "evil.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "changes",
    [
        {"task": {"name": REFERENCE}},
        {"task": {"name": "reasoning_gym", "chain": "evil_tasks:chain"}},
        {"stages": {"pretrain": {"kind": "ntp"}, "more": {"kind": REFERENCE}}},
    ],
    ids=["task", "chain", "stage"],
)
@pytest.mark.parametrize(
    "arguments",
    [["run", "--dry-run"], ["sweep", "--dry-run"], ["sweep", "--status"], ["dataset", "out"], ["bench"]],
    ids=lambda arguments: "-".join(arguments).replace("---", "-"),
)
def test_a_recipe_in_a_file_runs_no_code(folder: Path, changes: dict[str, object], arguments: list[str]) -> None:
    """Neither from the task itself nor from any of its settings, nor from a kind of stage."""
    verb, *rest = arguments
    ended = command(verb, recipe_file(folder, changes), *rest)
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert "is code, and" in line
    assert "--trust" in line
    assert not has_run(folder)
    assert not (folder / "out").exists()


def test_a_recipe_in_a_file_is_followed_where_the_user_says_so(folder: Path) -> None:
    file = str(recipe_file(folder, {"task": {"name": REFERENCE}}))
    assert recipe.load(file, trust=True).task.model_dump()["name"] == REFERENCE
    assert has_run(folder)
    for typed in (f"task.name={REFERENCE}", f"task={{name: '{REFERENCE}', d: 4}}"):
        assert recipe.load(file, [typed]).task.model_dump()["name"] == REFERENCE
        assert has_run(folder)
    with pytest.raises(ValueError, match="is code, and"):
        recipe.load(file, [f"title={REFERENCE}s", "task.d=4"])
    assert not has_run(folder)


@pytest.mark.slow
def test_a_users_own_run_goes_on_is_shown_and_swept_without_a_further_word(folder: Path) -> None:
    """The command that named the code is the word: for the same command again, stage 1 shared, workers of a sweep."""
    typed = ["tiny", f"task={{name: {REFERENCE}, d: 4}}", *SMALL]
    assert command("run", *typed, "--json").status == 0
    assert has_run(folder)
    ended = command("run", *typed, "--json")
    assert ended.status == 0, ended.err
    assert has_run(folder)
    run = folder / "runs" / json.loads(ended.out.splitlines()[-1])["run_id"]
    for file in ("DONE", "summary.json"):
        (run / file).unlink()
    shutil.rmtree(next(run.glob("checkpoints/posttrain-*")))
    ended = command("run", *typed, "--json")  # from stage 1's checkpoint, which names the code as well
    assert ended.status == 0, ended.err
    assert has_run(folder)
    assert command("report", run).status == 0
    assert not has_run(folder), "a report only draws"
    ended = command("evaluate", run, "--prompts", "8")
    assert (ended.status, "--trust" in ended.err) == (2, True), "a run's folder may be anybody's"
    swept = command("sweep", *typed, "posttrain.lr=1e-4,2e-4", "--workers", "1", "--seeds", "1", "--json")
    assert swept.status == 0, swept.err
    assert [row["state"] for row in json.loads(swept.out.splitlines()[-1])] == ["done", "done"]


@pytest.mark.slow
@pytest.mark.parametrize("started", [["-m", "chainlift", "env"], ["-m", "chainlift", "sweep", "tiny", *SMALL]])
def test_no_process_takes_libraries_from_the_working_directory(tmp_path: Path, started: list[str]) -> None:
    for name in ("yaml", "pydantic", "torch"):
        (tmp_path / f"{name}.py").write_text(f"open({RAN!r}, 'w'); raise SystemExit(3)", encoding="utf-8")
    done = subprocess.run([sys.executable, *started], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / RAN).exists()


def test_entry_points_of_the_working_directory_are_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "evil-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n", encoding="utf-8")
    (package / "entry_points.txt").write_text(f"[{registry.GROUP}]\nevil = {REFERENCE}\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", ["", str(folder), *sys.path])
    assert [point.name for point in importlib.metadata.entry_points(group=registry.GROUP)] == ["evil"]
    assert "evil" not in registry.TASKS.names()
    with pytest.raises(ValueError, match="task 'evil' is not known"):
        recipe.load("tiny", ["task.name=evil"])
    assert not (folder / RAN).exists()


def test_what_is_no_reference_needs_no_trust() -> None:
    assert references.admit("running_sum", Trust("x.yaml")) == "running_sum"
    with pytest.raises(ValueError, match=r"x\.yaml"):
        references.admit("a:b", Trust("x.yaml"))
    assert references.admit("a:b", Trust("x.yaml", whole=True)) == "a:b"
    assert references.admit("a:b", Trust.of("x.yaml", ["task={name: a:b}"], False)) == "a:b"
    assert references.admit("a:b", None) == "a:b"
