import os
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from chainlift.cli import app
from chainlift.learning.optimizer import Optimizer, OptimizerSettings, apply_gradients, make_optimizer
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings

TASK, SETTINGS = RunningSum(RunningSumSettings(d=4)), OptimizerSettings()


def make(seed: int = 0) -> tuple[Transformer, Optimizer]:
    model = Transformer(ModelSettings(width=16, heads=2), 3, 9).initialize(stream(seed, "model"))
    return model, make_optimizer(model, SETTINGS)


def step(model: Transformer, optimizer: Optimizer, number: int) -> None:
    prompts = TASK.prompts(8, stream(0, "p", number))
    model.logits(model.prefill(prompts[:, :2]), prompts[:, 2:]).square().mean().backward()
    apply_gradients(model, optimizer, SETTINGS, number, 10)


def test_going_on_from_a_checkpoint_is_exact(tmp_path: Path) -> None:
    model, optimizer = make()
    for number in range(3):
        step(model, optimizer, number)
    state = TrainerState("pretrain", step=3, sequences=24, tokens=99, seconds=1.5, lengths={"metrics.jsonl": 7})
    folder = checkpoint.save(tmp_path, state, model, TASK, optimizer)
    other, other_optimizer = make(seed=1)
    assert checkpoint.restore(folder, other, other_optimizer) == state
    for number in range(3, 6):
        step(model, optimizer, number)
        step(other, other_optimizer, number)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_the_newest_stands_and_older_ones_of_the_stage_go(tmp_path: Path) -> None:
    model, optimizer = make()
    step(model, optimizer, 0)
    for stage, number in (("pretrain", 5), ("posttrain", 2), ("pretrain", 10)):
        checkpoint.save(tmp_path, TrainerState(stage, step=number), model, TASK, optimizer)
    assert {path.name for path in tmp_path.iterdir()} == {"pretrain-10", "posttrain-2"}
    found = checkpoint.latest(tmp_path, "pretrain")
    assert found is not None
    assert found.name == "pretrain-10"
    assert checkpoint.latest(tmp_path, "continued_pretrain") is None


def test_steps_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    model, optimizer = make()
    for number in (9, 10):
        checkpoint.save(
            tmp_path, TrainerState("pretrain", step=number), model, TASK, optimizer, stays=lambda step: True
        )
    assert list(checkpoint.steps(tmp_path, "pretrain")) == [9, 10]
    found = checkpoint.latest(tmp_path, "pretrain")
    assert found is not None
    assert found.name == "pretrain-10"


def test_a_damaged_checkpoint_is_not_copied(tmp_path: Path) -> None:
    model, optimizer = make()
    source = checkpoint.save(tmp_path, TrainerState("pretrain", step=5), model, TASK, optimizer)
    weights = source / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"model.safetensors is damaged"):
        checkpoint.copy(source, tmp_path / "copy", lambda length, file: length)
    assert not (tmp_path / "copy").exists()


def test_a_half_written_folder_is_no_checkpoint(tmp_path: Path) -> None:
    model, optimizer = make()
    (tmp_path / ".tmp-pretrain-5").mkdir()
    (tmp_path / ".tmp-pretrain-5" / "model.safetensors").write_bytes(b"half")
    assert checkpoint.latest(tmp_path, "pretrain") is None
    checkpoint.save(tmp_path, TrainerState("pretrain", step=5), model, TASK, optimizer)
    assert {path.name for path in tmp_path.iterdir()} == {"pretrain-5"}


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "config.json"])
def test_damage_is_named(name: str, tmp_path: Path) -> None:
    model, optimizer = make()
    step(model, optimizer, 0)
    folder = checkpoint.save(tmp_path, TrainerState("pretrain", step=1), model, TASK, optimizer)
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        checkpoint.restore(folder, model, optimizer)


def test_nothing_is_pickled(tmp_path: Path) -> None:
    model, optimizer = make()
    step(model, optimizer, 0)
    folder = checkpoint.save(tmp_path, TrainerState("pretrain", step=1), model, TASK, optimizer)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}


def test_a_changed_byte_in_any_file_is_found_and_named(tmp_path: Path) -> None:
    model, optimizer = make()
    step(model, optimizer, 0)
    folder = checkpoint.save(tmp_path, TrainerState("pretrain", step=1), model, TASK, optimizer)
    files = sorted(folder.iterdir())
    assert {"model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json"} < {
        file.name for file in files
    }
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
        with pytest.raises(ValueError, match="--fresh"):
            checkpoint.restore(folder, *make(seed=1))
        file.write_bytes(content)
    checkpoint.restore(folder, *make(seed=1))


@pytest.mark.parametrize("value", [float("nan"), 3e38])
def test_a_model_of_no_numbers_is_refused_and_none_is_printed(value: float, tmp_path: Path) -> None:
    model, _ = make()
    for parameter in model.parameters():
        parameter.data.fill_(value)
    folder = checkpoint.save(tmp_path, TrainerState("pretrain", step=1), model, TASK, None)
    commands = [["sample", str(folder), "--json"], ["evaluate", str(folder), "--prompts", "4", "--json"]]
    if value != value:
        commands.append(["export", str(folder), str(tmp_path / "exported")])
    for command in commands:
        done = CliRunner().invoke(app, command)
        assert isinstance(done.exception, ValueError), done.output
        assert "numbers" in str(done.exception)
        assert "NaN" not in done.output
    assert not (tmp_path / "exported").exists()


def test_files_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    model, optimizer = make()
    step(model, optimizer, 0)
    before = os.umask(0o027)
    try:
        folder = checkpoint.save(tmp_path, TrainerState("pretrain", step=1), model, TASK, optimizer)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o640}
