"""A trainer's checkpoints: whole or absent wherever a kill comes; damage is named; only the newest and some stay."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chainlift.runs import checkpoint, durable
from chainlift.runs.checkpoint import STATE, TrainerState
from chainlift.stages import sharing
from chainlift.stages.kinds.trl_sft import SupervisedFinetuning
from chainlift.stages.stage import Place
from chainlift.stages.trl import trainers, training
from chainlift.stages.trl.context import TextContext
from tests.stages.trl.small_text import context, place, shared_by, small

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


def keep(context: TextContext, *steps: int) -> None:
    """Checkpoints of those steps of fine-tuning."""
    state = TrainerState("pretrain")
    stays = place(context, "pretrain").stays
    trainer = trainers.make_trainer(Writer, lambda: state, stays, folder=context.folder.checkpoints)
    for step in steps:
        trainer.state.global_step = state.step = step
        trainer.keep()


def newest(context: TextContext) -> Path | None:
    """The checkpoint that fine-tuning would go on from."""
    return training.begin(context, place(context, "pretrain"))[1]


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
    one = context(tmp_path, small())
    root = one.folder.checkpoints
    found: set[int] = set()
    number = 0
    while True:
        shutil.rmtree(root, ignore_errors=True)
        keep(one, 2)
        was_killed = killed(lambda: keep(one, 4), number)
        kept = newest(one)
        assert kept is not None
        state = checkpoint.read_state(kept)
        found.add(state.step)
        assert (kept / "optimizer.pt").read_text(encoding="utf-8") == f"optimizer.pt {state.step}"
        keep(one, 6)
        assert [path.name for path in root.iterdir()] == ["pretrain-6"]
        if not was_killed:
            break
        number += 1
    assert number > 15
    assert found == {2, 4}


@pytest.mark.slow
def test_a_step_that_was_kept_can_be_kept_again(tmp_path: Path) -> None:
    one = context(tmp_path, small())
    number, was_killed = 0, True
    while was_killed:
        keep(one, 2)
        was_killed = killed(lambda: keep(one, 2), number)
        kept = newest(one)
        assert kept is not None
        assert checkpoint.read_state(kept).step == 2
        number += 1


@pytest.mark.parametrize("file", [STATE, "optimizer.pt", "trainer_state.json", "model.safetensors"])
@pytest.mark.parametrize("content", ["", "x"])
def test_a_damaged_file_is_named_with_the_way_out(file: str, content: str, tmp_path: Path) -> None:
    one = context(tmp_path, small())
    keep(one, 2)
    damaged = one.folder.checkpoints / "pretrain-2" / file
    damaged.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="--fresh") as error:
        newest(one)
    assert str(damaged) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stage": 3}', '{"stage": "posttrain", "step": "2"}'])
def test_a_state_that_cannot_be_read_is_named_with_the_way_out(content: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"state\.json is missing; use --fresh"):
        checkpoint.read_state(tmp_path)
    (tmp_path / STATE).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"state\.json is damaged: .+; use --fresh"):
        checkpoint.read_state(tmp_path)
    (tmp_path / STATE).write_text(json.dumps({"stage": "posttrain", "step": 2}), encoding="utf-8")
    assert checkpoint.read_state(tmp_path).step == 2


def test_what_is_not_sealed_is_no_checkpoint(tmp_path: Path) -> None:
    one = context(tmp_path, small())
    keep(one, 2)
    half = one.folder.checkpoints / "pretrain-4"
    half.mkdir()
    (half / STATE).write_text(json.dumps({"stage": "pretrain", "step": 4}), encoding="utf-8")
    kept = newest(one)
    assert kept is not None
    assert kept.name == "pretrain-2"
    assert not durable.is_whole(half)


def test_what_others_start_from_stays(tmp_path: Path) -> None:
    one = context(tmp_path, small("pretrain.keep=[2, 4]"))
    keep(one, 2, 3, 4, 5, 6)
    assert sorted(path.name for path in one.folder.checkpoints.iterdir()) == ["pretrain-2", "pretrain-4", "pretrain-6"]


def test_fresh_trains_a_damaged_shared_stage_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fine-tuning then finds an empty folder; a sound one is taken as it is where nobody asks for a fresh one."""
    seen: list[list[Path]] = []

    def train(self: SupervisedFinetuning, context: TextContext, place: Place) -> None:
        seen.append([*context.folder.checkpoints.iterdir()] if context.folder.checkpoints.exists() else [])
        state = TrainerState(place.name, step=6, finished=True, identity=place.digest)
        context.record(state, "update", {})
        state.lengths = context.folder.lengths()
        checkpoints = context.folder.checkpoints
        durable.write_folder(checkpoints / "pretrain-6", lambda folder: checkpoint.write_state(folder, state))

    monkeypatch.setattr(SupervisedFinetuning, "train", train)

    def tuned(name: str, *, fresh: bool = False) -> TextContext:
        one = context(tmp_path / name, small())
        sharing.carry_out(one, "pretrain", tmp_path, fresh=fresh)
        assert checkpoint.end(one.folder.checkpoints, "pretrain").step == 6
        return one

    first = tuned("first")
    shared = shared_by(small(), tmp_path)
    assert shared.done
    assert tuned("second").folder.rows() == first.folder.rows()
    assert len(seen) == 1
    damaged = shared.checkpoints / "pretrain-6" / STATE
    damaged.write_text(damaged.read_text(encoding="utf-8").replace("6", "7"), encoding="utf-8")
    with pytest.raises(ValueError, match="--fresh") as error:
        tuned("third")
    assert str(shared.path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    tuned("fourth", fresh=True)
    assert seen == [[], []]
    tuned("fifth")
    assert len(seen) == 2
