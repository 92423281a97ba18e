"""Fine-tuning is shared by all runs that agree on it; each run measures its end by its own settings."""

from pathlib import Path
from typing import Any

import pytest

from chainlift.llm import training
from chainlift.runs.store import RunFolder
from tests.llm.test_llm_stages import run, small

ALONE = ("posttrain=null",)
CHANGES = (
    "evaluate.every=2", "evaluate.max_tokens=9", "evaluate.temperature=0.7", "finetune.steps=7", "data.train_size=301",
)  # fmt: skip


@pytest.mark.parametrize(
    "override",
    [
        "evaluate.prompts=24",
        "evaluate.during=5",
        "evaluate.rows_at_once=3",
        "evaluate.pass_at_k_prompts=3",
        "evaluate.every_rounds=7",
        "finetune.checkpoint_every=3",
    ],
)
def test_how_is_measured_and_kept_is_no_part_of_fine_tuning(override: str) -> None:
    assert small(override).stage_1.run_id == small().stage_1.run_id
    assert small(override).run_id != small().run_id


@pytest.mark.parametrize("override", CHANGES)
def test_what_is_trained_and_how_it_is_measured_on_the_way_is_one(override: str) -> None:
    assert small(override).stage_1.run_id != small().stage_1.run_id


def measured(folder: RunFolder) -> list[tuple[Any, ...]]:
    rows = [row for row in folder.rows() if row["stage"] == "pretrain" and row["kind"] == "evaluation"]
    return [(row["step"], row["final"], row["greedy"]["n"]) for row in rows]


@pytest.mark.slow
def test_other_settings_of_the_end_train_nothing_and_give_the_record_of_a_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "runs", *ALONE)
    other = (*ALONE, "evaluate.prompts=24", "evaluate.pass_at_k_prompts=3")
    alone, _ = run(tmp_path / "alone", *other)

    def train(*_: Any, **__: Any) -> Any:
        raise AssertionError("fine-tuning is trained again")

    monkeypatch.setattr(training, "run", train)
    folder, summary = run(tmp_path / "runs", *other)
    assert measured(folder) == [(0, False, 8), (3, False, 8), (6, True, 24)]
    assert summary["pretrain"]["prompts"] == 24
    for name in ("metrics.jsonl", "rollouts.jsonl", "checkpoints/pretrain-6/model.safetensors"):
        assert (folder.path / name).read_bytes() == (alone.path / name).read_bytes(), name
    (shared,) = (tmp_path / "runs").glob("shared-pretrain-*")
    assert measured(RunFolder(shared)) == [(0, False, 8), (3, False, 8), (6, True, 16)]


@pytest.mark.slow
def test_rl_follows_a_fine_tuning_that_was_measured_again(tmp_path: Path) -> None:
    run(tmp_path, *ALONE)
    folder, _ = run(tmp_path, "evaluate.prompts=20", "posttrain.updates=1")
    assert measured(folder)[-1] == (6, True, 20)
    assert [row["step"] for row in folder.rows() if row["stage"] == "posttrain" and row["kind"] == "update"] == [1]
    assert len(list(tmp_path.glob("shared-pretrain-*"))) == 1
