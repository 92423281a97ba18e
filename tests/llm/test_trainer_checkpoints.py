"""A trainer's checkpoints: whole or absent wherever a kill comes, damage is named, and the newest alone is kept."""

import json
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chainlift.llm import shared_finetuning, trainers, training
from chainlift.llm.context import LlmContext
from chainlift.report.terminal import Reporter
from chainlift.runs import checkpoint, durable
from chainlift.runs.checkpoint import TrainerState
from chainlift.runs.store import RunFolder
from tests.llm.test_llm_stages import small

CALLS = ((os, "fsync"), (os, "rename"), (os, "replace"), (os, "unlink"), (os, "rmdir"), (os, "mkdir"))
"""What decides whether files are on the disk and under which name."""


class Writer:
    """A trainer that writes its files as transformers does: one after another, in place."""

    def __init__(self, folder: Path) -> None:
        self.args = SimpleNamespace(output_dir=str(folder))
        self.state = SimpleNamespace(global_step=0)

    def remove_callback(self, kind: Any) -> None:
        """Nothing to remove."""

    def _get_output_dir(self, trial: Any) -> str:
        return self.args.output_dir

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("model.safetensors", "optimizer.pt", "trainer_state.json"):
            (folder / name).write_text(f"{name} {self.state.global_step}", encoding="utf-8")


def context(tmp_path: Path) -> LlmContext:
    return LlmContext(small(), RunFolder.open(tmp_path / "run", {}, "x"), Reporter(quiet=True), "cpu")


def keep(context: LlmContext, *steps: int) -> None:
    """Checkpoints of those steps."""
    state = TrainerState("posttrain")
    trainer = trainers.made(Writer, lambda: state, folder=training.own_folder(context, "posttrain"))
    for step in steps:
        trainer.state.global_step = state.step = step
        trainer.keep()


def killed(work: Any, number: int) -> bool:
    """Whether a process that does the work was ended before its call `number` of CALLS; False if it came to its end."""
    child = os.fork()
    if child == 0:
        left = [number]
        for module, name in CALLS:
            real = getattr(module, name)

            def call(*given: Any, _real: Any = real, **more: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return _real(*given, **more)

            setattr(module, name, call)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.slow
def test_wherever_a_kill_comes_a_whole_checkpoint_stands(tmp_path: Path) -> None:
    one = context(tmp_path)
    root = training.own_folder(one, "posttrain")
    found: set[int] = set()
    number = 0
    while True:
        shutil.rmtree(root, ignore_errors=True)
        keep(one, 2)
        was_killed = killed(lambda: keep(one, 4), number)
        newest = training.newest(one, "posttrain")
        assert newest is not None
        state = checkpoint.read_state(newest, trainers.STATE)
        found.add(state.step)
        assert (newest / "optimizer.pt").read_text(encoding="utf-8") == f"optimizer.pt {state.step}"
        keep(one, 6)
        assert [path.name for path in root.iterdir()] == ["checkpoint-6"]
        if not was_killed:
            break
        number += 1
    assert number > 15
    assert found == {2, 4}


@pytest.mark.slow
def test_a_step_that_was_kept_can_be_kept_again(tmp_path: Path) -> None:
    one = context(tmp_path)
    number, was_killed = 0, True
    while was_killed:
        keep(one, 2)
        was_killed = killed(lambda: keep(one, 2), number)
        newest = training.newest(one, "posttrain")
        assert newest is not None
        assert checkpoint.read_state(newest, trainers.STATE).step == 2
        number += 1


@pytest.mark.parametrize("file", [trainers.STATE, "optimizer.pt", "model.safetensors"])
@pytest.mark.parametrize("content", ["", "x"])
def test_a_damaged_file_is_named_with_the_way_out(file: str, content: str, tmp_path: Path) -> None:
    one = context(tmp_path)
    keep(one, 2)
    damaged = training.own_folder(one, "posttrain") / "checkpoint-2" / file
    damaged.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="--fresh") as error:
        training.newest(one, "posttrain")
    assert str(damaged) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stage": 3}', '{"stage": "posttrain", "step": "2"}'])
def test_a_state_that_cannot_be_read_is_named_with_the_way_out(content: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"chainlift_state\.json is missing; use --fresh"):
        checkpoint.read_state(tmp_path, trainers.STATE)
    (tmp_path / trainers.STATE).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"chainlift_state\.json is damaged: .+; use --fresh"):
        checkpoint.read_state(tmp_path, trainers.STATE)
    (tmp_path / trainers.STATE).write_text(json.dumps({"stage": "posttrain", "step": 2}), encoding="utf-8")
    assert checkpoint.read_state(tmp_path, trainers.STATE).step == 2


def test_what_is_not_sealed_is_no_checkpoint(tmp_path: Path) -> None:
    one = context(tmp_path)
    keep(one, 2)
    half = training.own_folder(one, "posttrain") / "checkpoint-4"
    half.mkdir()
    (half / trainers.STATE).write_text(json.dumps({"stage": "posttrain", "step": 4}), encoding="utf-8")
    newest = training.newest(one, "posttrain")
    assert newest is not None
    assert newest.name == "checkpoint-2"
    assert not durable.is_whole(half)


def test_fresh_trains_a_damaged_shared_stage_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the fine-tuning, which finds an empty folder; a sound one is taken as it is."""
    first = small().stage_1
    shared = RunFolder.open(tmp_path / first.run_id, first.model_dump(mode="json"), first.digest)
    shared.append("metrics.jsonl", [{"kind": "update"}])
    state = {"stage": "pretrain", "step": 6, "lengths": shared.lengths(), "finished": True}
    durable.write_folder(
        shared.checkpoints / "pretrain-6",
        lambda folder: (folder / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8"),
    )
    durable.write_file(shared.path / "DONE", "")
    seen: list[bool] = []

    def look(context: LlmContext) -> None:
        seen.append(any(context.folder.checkpoints.iterdir()))
        raise InterruptedError

    monkeypatch.setattr(shared_finetuning, "finetune", look)

    def tuned() -> RunFolder:
        stop = threading.Event()
        return shared_finetuning.train(small(), tmp_path, Reporter(quiet=True), "cpu", stop, fresh=True)

    assert tuned().done
    weights = shared.checkpoints / "pretrain-6" / "trainer_state.json"
    weights.write_text(weights.read_text(encoding="utf-8").replace("6", "7"), encoding="utf-8")
    with pytest.raises(InterruptedError):
        tuned()
    assert seen == [False]
