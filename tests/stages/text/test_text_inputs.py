"""What a run of text reads from outside: data files and tokenizers that change, and prompts that are too long."""

import json
import shutil
from pathlib import Path

import pytest

from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import checkpoint
from chainlift.stages import inputs, pipeline, sharing
from chainlift.stages.run_context import RunContext
from tests.in_process import command
from tests.stages.text.small_engine_text import run, small, written

ALONE = ("posttrain=null", "continued_pretrain=null", "pretrain.steps=1", "evaluate.prompts=4")


def data(folder: Path, added: int = 1, *, digits: int = 1) -> Path:
    """A file of 40 sums; four answers have `digits` digits."""
    rows = [
        {
            "prompt": f"What is {n} + {added}?",
            "solution": f"{n} + {added} is it.",
            "answer": n + added if n % 10 else 10**digits,
        }
        for n in range(40)
    ]
    file = folder / "sums.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def task(file: Path, **more: int) -> str:
    return "task=" + json.dumps({"name": "jsonl", "path": str(file), "max_tokens": 60, **more})


def test_another_content_of_a_data_file_is_another_stage(tmp_path: Path) -> None:
    file = data(tmp_path)
    run(tmp_path, *ALONE, task(file))
    again = command("run", written(tmp_path), *ALONE, task(file), "name=again", "--out", tmp_path)
    assert "taken from" in again.err
    data(tmp_path, added=2)
    ended = command("run", written(tmp_path), *ALONE, task(file), "--out", tmp_path)
    assert ended.status == 2
    assert "pretrain: what it was made from (data, model.path or start) has changed" in ended.err
    other = command("run", written(tmp_path), *ALONE, task(file), "name=other", "--out", tmp_path)
    assert other.status == 0
    assert "taken from" not in other.err


def test_another_content_of_a_pretrained_folder_is_another_stage(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model"
    shutil.copytree(folder / "checkpoints" / "pretrain-4", path)
    typed = (*ALONE, "model=" + json.dumps({"family": "llama", "path": str(path)}))
    run(tmp_path, *typed)
    shutil.rmtree(path)
    shutil.copytree(folder / "checkpoints" / "continued_pretrain-5", path)
    ended = command("run", written(tmp_path), *typed, "--out", tmp_path)
    assert ended.status == 2
    assert "model.path" in ended.err


def test_data_that_are_gone_are_not_called_changed(tmp_path: Path) -> None:
    file = data(tmp_path)
    run(tmp_path, *ALONE, task(file))
    file.rename(tmp_path / "elsewhere.jsonl")
    ended = command("run", written(tmp_path), *ALONE, task(file), "--out", tmp_path)
    assert ended.status == 2
    assert "sums.jsonl is missing" in ended.err
    assert "--fresh" not in ended.err


def test_stages_are_named_by_the_data_that_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes after the first stage does not make its RL one of the new content."""
    file, carry_out = data(tmp_path), sharing.carry_out
    recipe = small(tmp_path, "continued_pretrain=null", "pretrain.steps=1", "posttrain.steps=1", task(file))
    digests = {name: recipe.stage_digest(name) for name in recipe.stages}

    def edited(context: RunContext, name: str, out: Path, *, fresh: bool = False) -> None:
        carry_out(context, name, out, fresh=fresh)
        data(tmp_path, added=2)

    monkeypatch.setattr(sharing, "carry_out", edited)
    folder = pipeline.run(recipe, tmp_path / "runs", Reporter(quiet=True)).folder
    assert recipe.stage_digest("posttrain") != digests["posttrain"]
    for name, step in (("pretrain", 1), ("posttrain", 1)):
        assert checkpoint.read_state(folder / "checkpoints" / f"{name}-{step}").identity == digests[name]


def test_weights_are_not_read_under_the_ids_of_another_tokenizer(folder: Path, tmp_path: Path) -> None:
    """A tokenizer from scratch depends on the problems; model.path takes over the folder's."""
    start = folder / "checkpoints" / "pretrain-4"
    typed = ("task.max_number=20", *ALONE, "--out", tmp_path)
    ended = command("run", written(tmp_path), f"pretrain.start={start}", *typed)
    assert ended.status == 2
    assert "has another tokenizer" in ended.err
    assert f"model.path={start}" in ended.err
    ended = command("run", written(tmp_path), "model=" + json.dumps({"family": "llama", "path": str(start)}), *typed)
    assert ended.status == 0, ended.err


def test_short_answers_longer_than_other_prompts_chains_are_sampled(tmp_path: Path) -> None:
    """Then drafts of some prompts end before drafts are read at all."""
    summary, _ = run(tmp_path, *ALONE, task(data(tmp_path, digits=45)))
    assert summary["pretrain"]["prompts"] > 0


def test_a_question_beyond_the_context_is_refused(folder: Path) -> None:
    ended = command("sample", folder, "Why " * 400)
    assert ended.status == 2
    assert "shorten the prompt" in ended.err


@pytest.mark.parametrize("by_recipe", [True, False])
def test_a_question_longer_than_all_problems_is_read_within_the_context(
    by_recipe: bool, folder: Path, tmp_path: Path
) -> None:
    checkpoint = folder / "checkpoints" / "pretrain-4"
    recipe = ("--recipe", written(tmp_path)) if by_recipe else ()
    ended = command("sample", checkpoint, "Ben has 3 apples. " * 7, *recipe)
    assert ended.status == 0, ended.err


def test_a_prompt_beyond_the_context_is_shown(tmp_path: Path) -> None:
    file = data(tmp_path)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"prompt": "Once upon a time " * 60 + "?", "solution": "No.", "answer": 1}) + "\n")
    ended = command("run", written(tmp_path), *ALONE, task(file), "--out", tmp_path)
    assert ended.status == 2
    assert "'Once upon a time" in ended.err
    assert "raise it" in ended.err


@pytest.mark.parametrize(("weights", "is_said"), [("bfloat16", True), ("float32", False)])
def test_what_rounding_takes_from_adapters_is_said(weights: str, is_said: bool, tmp_path: Path) -> None:
    lora = ("model.lora={rank: 2}", f"model.weights={weights}", "pretrain.lr=1e-6")
    ended = command("run", written(tmp_path), *ALONE, *lora, "--out", tmp_path)
    assert ended.status == 0, ended.err
    assert ("of what the adapters learned" in ended.err) == is_said


def test_what_is_missing_and_what_only_has_another_name(tmp_path: Path) -> None:
    """A hub name is not missing: a start that changes beside it must be seen in a finished run."""
    file = data(tmp_path)
    words = small(tmp_path).task
    sums = small(tmp_path, task(file)).task
    assert not inputs.are_missing(sums, small(tmp_path).model)
    assert not inputs.are_missing(words, PretrainedSettings(path="owner/name"))
    assert inputs.are_missing(words, PretrainedSettings(path=str(tmp_path / "nowhere")))
    file.unlink()
    assert inputs.are_missing(sums, small(tmp_path).model)


def test_weights_that_are_no_safetensors_count(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"1")
    before = inputs.model_digest(PretrainedSettings(path=str(tmp_path)))
    (tmp_path / "pytorch_model.bin").write_bytes(b"22")
    assert before != inputs.model_digest(PretrainedSettings(path=str(tmp_path)))
