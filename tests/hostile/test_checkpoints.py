"""Every hostile checkpoint is one line and status 2; nothing is imported, written, waited for or carried away."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainlift.models import families
from chainlift.models.hub import model_folder
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.seeding import stream
from chainlift.stages import recipe
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings
from tests.hostile.checkpoints import CASES, HARMLESS
from tests.hostile.tampering import EVERY, MODULE, Case
from tests.in_process import Ended, command

SECONDS = 60  # of a command before it counts as hanging
EXPORTED = {
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as it should be."""
    folder = tmp_path_factory.mktemp("whole")
    task = RunningSum(RunningSumSettings(d=4))
    model = families.build(ModelSettings(layers=1, width=16, heads=2), task).initialize(stream(0, "model"))
    model_folder.save(model, task, folder)
    return folder


@pytest.fixture
def checkpoint(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it in a working directory that holds a module which must not be imported."""
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    (tmp_path / f"{MODULE}.py").write_text("open('ran.txt', 'w').close()\n", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    yield shutil.copytree(whole, tmp_path / "model")
    assert sys.path == path
    assert MODULE not in sys.modules


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder, with kind and time."""
    found = {}
    for path, folders, names in os.walk(folder):
        for name in (*folders, *names):
            about = os.lstat(os.path.join(path, name))
            found[os.path.relpath(os.path.join(path, name), folder)] = (about.st_mode, about.st_mtime_ns)
    return found


def carried_out(verb: str, target: Path) -> Ended:
    """A command on a checkpoint; one that hangs is a failure."""

    def hangs(*_: Any) -> None:
        raise TimeoutError(f"{verb} hangs")

    arguments = {"evaluate": ["--prompts", "8"], "sample": ["-n", "1"], "export": ["out"]}[verb]
    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        return command(verb, target, *arguments)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_there_are_enough_cases_and_no_two_of_a_name() -> None:
    names = [case.name for case in (*CASES, *HARMLESS)]
    assert len(names) >= 130
    assert len(set(names)) == len(names)


OF_WEIGHTS = [case for case in CASES if case.name.startswith(("weights: ", "index: "))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_checkpoint_is_one_line(case: Case, checkpoint: Path) -> None:
    case.change(checkpoint)
    before = files(checkpoint.parent)
    for verb in EVERY:
        ended = carried_out(verb, checkpoint)
        if verb not in case.refused_by:
            assert ended.status == 0, ended.err
            continue
        assert ended.status == 2, (verb, ended)
        (line,) = ended.err.splitlines()
        assert line.startswith("error: ")
        assert len(line) < 2500
        assert line.isprintable()
        assert ended.out == ""
        assert files(checkpoint.parent) == before


@pytest.mark.parametrize("case", HARMLESS, ids=lambda case: case.name)
def test_what_lies_beside_a_model_stays_there(case: Case, checkpoint: Path) -> None:
    case.change(checkpoint)
    for verb in EVERY:
        assert carried_out(verb, checkpoint).status == 0
    out = checkpoint.parent / "out"
    assert {file.name for file in out.iterdir()} == EXPORTED
    assert not any(file.is_symlink() for file in out.iterdir())
    assert "secret" not in "".join(file.read_text(encoding="latin-1") for file in out.iterdir())
    assert json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))["model"]["unk_token"] == "<eos>"
    assert "rm -rf" not in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "content",
    [
        {"name": "evil"},
        {"name": 1, "title": 2, "seed": "x", "mixture": 3},
        {"name": "a", "title": "b", "seed": 0, "mixture": []},
        {"name": "a", "title": "b", "seed": 0, "mixture": {"p_cot": "x"}},
        {"model": [1]},
        {"model": "gpt2"},
        {"stages": 3},
        {"stages": {"pretrain": 3}},
        {"stages": {"pretrain": {"kind": "ntp", "match_tokens": ["a"], "start": {}, "title": []}}},
    ],
    ids=str,
)
def test_a_run_folder_whose_recipe_is_nonsense_is_not_exported(content: Any, checkpoint: Path) -> None:
    run = checkpoint.parent / "run"
    (checkpoint / "checksums.json").write_text("{}", encoding="utf-8")
    shutil.copytree(checkpoint, run / "checkpoints" / "pretrain-1")
    (run / "recipe.yaml").write_text(json.dumps(content), encoding="utf-8")
    ended = carried_out("export", run)
    assert ended.status == 2
    assert len(ended.err.splitlines()) == 1
    assert not (checkpoint.parent / "out").exists()


def test_a_run_folder_with_a_link_for_a_checkpoint_is_not_exported(checkpoint: Path) -> None:
    run = checkpoint.parent / "run"
    (run / "checkpoints").mkdir(parents=True)
    (checkpoint / "checksums.json").write_text("{}", encoding="utf-8")
    (run / "checkpoints" / "pretrain-1").symlink_to(checkpoint)
    (run / "recipe.yaml").write_text(json.dumps(recipe.load("tiny").model_dump(mode="json")), encoding="utf-8")
    ended = carried_out("export", run)
    assert ended.status == 2
    assert "is a link that leads out of" in ended.err
    assert not (checkpoint.parent / "out").exists()


LANGUAGE = {
    "name": "l", "title": "t", "seed": 0, "task": {"name": "d", "template": {}}, "mixture": {"p_cot": 0.1},
    "model": {"family": "transformers"},
    "stages": {"posttrain": {"kind": "trl_rl", "algorithm": "grpo"}},
}  # fmt: skip


UNFIT_TO_COPY = {
    "a tokenizer that is garbage",
    "generation settings that are a list",
    "a pipe beside",
    "a link beside",
    "a link as tokenizer",
}
"""Of HARMLESS: a file that belongs to a language model, and is damaged or not an ordinary file."""


READABLE = {
    "weights: one is missing",
    "weights: none has its name",
    "weights: another shape",
    "weights: a scalar",
    "weights: no elements",
    "weights: integers",
    "weights: truth values",
    "weights: float8",
    "weights: a NaN",
    "weights: all NaN",
    "weights: an infinity",
    "index: part of the weights",
}
"""Weights that are whole files, of which only transformers can tell whether they fit; export copies them."""


@pytest.fixture
def language_run(checkpoint: Path) -> Path:
    """A run folder of a language model, as far as export looks at it."""
    run = checkpoint.parent / "run"
    (checkpoint / "checksums.json").write_text("{}", encoding="utf-8")
    shutil.copytree(checkpoint, run / "checkpoints" / "posttrain-3")
    (run / "recipe.yaml").write_text(json.dumps(LANGUAGE), encoding="utf-8")
    return run


@pytest.mark.parametrize("case", HARMLESS, ids=lambda case: case.name)
def test_a_language_model_leaves_with_known_files_only(case: Case, language_run: Path) -> None:
    case.change(language_run / "checkpoints" / "posttrain-3")
    ended = carried_out("export", language_run)
    out = language_run.parent / "out"
    if case.name in UNFIT_TO_COPY:
        assert ended.status == 2
        assert len(ended.err.splitlines()) == 1
        assert not out.exists()
        return
    assert ended.status == 0, ended.err
    assert {file.name for file in out.iterdir()} <= EXPORTED
    assert "rm -rf" not in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", OF_WEIGHTS, ids=lambda case: case.name)
def test_a_language_model_does_not_leave_without_its_weights(case: Case, language_run: Path) -> None:
    folder = language_run / "checkpoints" / "posttrain-3"
    case.change(folder)
    ended = carried_out("export", language_run)
    out = language_run.parent / "out"
    if case.name in READABLE:
        assert ended.status == 0, ended.err
        assert not any(file.is_symlink() for file in out.iterdir())
    else:
        assert ended.status == 2
        assert len(ended.err.splitlines()) == 1
        assert not out.exists()
