"""Where stages on text begin: a kept step, a folder of ours or of TRL, other weights; and what does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from chainlift.runs.store import RunFolder
from tests.in_process import command
from tests.stages.text.small_engine_text import run, written

Whole = tuple[dict[str, Any], RunFolder]
ALONE = ("posttrain=null", "continued_pretrain=null", "pretrain.steps=1", "evaluate.prompts=4")


def test_rl_starts_at_a_kept_step(whole: Whole, tmp_path: Path) -> None:
    typed = ("posttrain.start=pretrain@2", "posttrain.steps=1", "continued_pretrain=null")
    summary, folder = run(tmp_path, "pretrain.keep={every: 2}", *typed)
    assert summary["stages"]["posttrain"]["start_step"] == 2
    kept = folder.checkpoints / "pretrain-2" / "model.safetensors"
    assert kept.read_bytes() == (whole[1].checkpoints / "pretrain-2" / "model.safetensors").read_bytes()


def test_float32_goes_on_in_bfloat16(folder: Path, tmp_path: Path) -> None:
    start = folder / "checkpoints" / "pretrain-4"
    typed = (f"pretrain.start={start}", "model.weights=bfloat16", "pretrain.lr=1e-12", "pretrain.weight_decay=0")
    _, went_on = run(tmp_path, *ALONE, *typed)
    before, after = (load_file(path / "model.safetensors") for path in (start, went_on.checkpoints / "pretrain-1"))
    for name, value in before.items():
        assert after[name].dtype == torch.bfloat16
        assert torch.equal(after[name], value.bfloat16())


@pytest.mark.parametrize("sizes", ["model.width=32", "model.layers=2", "model.kv_heads=2", "model.vocabulary=399"])
def test_a_folder_of_another_size_is_refused_in_one_line(sizes: str, folder: Path, tmp_path: Path) -> None:
    start = f"pretrain.start={folder / 'checkpoints' / 'pretrain-4'}"
    ended = command("run", written(tmp_path), *ALONE, start, sizes, "--out", tmp_path / "runs")
    assert ended.status == 2
    assert "pretrain.start: " in ended.err
    assert ended.err.splitlines()[-1].startswith("error: ")


@pytest.mark.slow
@pytest.mark.smoke
def test_a_model_goes_to_trl_and_comes_back(folder: Path, tmp_path: Path) -> None:
    start = folder / "checkpoints" / "posttrain-3"
    theirs = tmp_path / "trl.yaml"
    theirs.write_text(
        "task: {name: word_problems, min_steps: 1, max_steps: 2, max_number: 10, train_size: 60, test_size: 16,"
        " max_tokens: 50, template: {marker: long}}\n"
        f"model: {{family: transformers, path: {json.dumps(str(start))}}}\n"
        "stages: {more: {kind: trl_sft, steps: 2, batch_size: 8, micro_batch_size: 8, lr: 1e-2}}\n"
        "evaluate: {prompts: 4, during: 4, every: 4, pass_at_k_prompts: 0}\ndevice: cpu\nthreads: 1\n",
        encoding="utf-8",
    )
    ended = command("run", theirs, "--out", tmp_path / "runs", "--json")
    assert ended.status == 0, ended.err
    by_trl = tmp_path / "runs" / json.loads(ended.out.splitlines()[-1])["run_id"] / "checkpoints" / "more-2"
    here, there = (load_file(path / "model.safetensors") for path in (start, by_trl))
    assert any(not torch.equal(value, there[name]) for name, value in here.items() if name in there)
    typed = (f"pretrain.start={by_trl}", "pretrain.lr=1e-12", "pretrain.weight_decay=0")
    _, back = run(tmp_path, *ALONE, *typed)
    after = load_file(back.checkpoints / "pretrain-1" / "model.safetensors")
    for name in here.keys() & there.keys():
        torch.testing.assert_close(after[name], there[name].float(), atol=1e-6, rtol=0)
    measured = command("evaluate", by_trl, "--recipe", written(tmp_path), "--prompts", "4", "--json")
    assert measured.status == 0, measured.err
