"""Fine-tuning is shared by all runs that agree on it; each run measures its end by its own settings."""

from pathlib import Path
from typing import Any

import pytest

from chainlift.runs.store import RunFolder
from chainlift.stages.trl import training
from tests.stages.trl.small_text import run, shared_by, small

ALONE = ("posttrain=null",)
MEASURED = (
    "evaluate.prompts=24", "evaluate.during=5", "evaluate.every=2", "evaluate.every_rounds=7",
    "evaluate.pass_at_k_prompts=3", "model.sampling_rows=3", "model.sampling_gib=0.5", "task.max_tokens=9",
    "task.grader=math", "task.test_size=30", "task.test_limit=20",
)  # fmt: skip
TRAINED = (
    "pretrain.steps=7", "pretrain.lr=1e-3", "pretrain.redraw=true", "task.train_size=301", "task.train_limit=200",
    "task.template.marker=none", "mixture.p_cot=0.3", "model.lora.rank=2", "dtype=bfloat16",
)  # fmt: skip
OF_RL = ("task.max_tokens=9", "task.grader=math", "model.sampling_gib=0.5")


@pytest.mark.parametrize("override", MEASURED)
def test_how_is_measured_is_no_part_of_fine_tuning(override: str) -> None:
    assert small(override).stage_digest("pretrain") == small().stage_digest("pretrain")
    assert small(override).run_id != small().run_id


def test_when_a_checkpoint_is_kept_and_what_may_be_downloaded_is_part_of_nothing() -> None:
    for override in ("pretrain.checkpoint_every=3", "model.download=true"):
        assert small(override).run_id == small().run_id


@pytest.mark.parametrize("override", TRAINED)
def test_what_is_trained_is_part_of_fine_tuning_and_of_what_follows(override: str) -> None:
    for name in ("pretrain", "posttrain"):
        assert small(override).stage_digest(name) != small().stage_digest(name)


@pytest.mark.parametrize("override", OF_RL)
def test_what_decides_samples_and_their_grades_is_part_of_rl(override: str) -> None:
    assert small(override).stage_digest("posttrain") != small().stage_digest("posttrain")


def measured(folder: RunFolder) -> list[tuple[Any, ...]]:
    rows = [row for row in folder.rows() if row["stage"] == "pretrain" and row["kind"] == "evaluation"]
    return [(row["step"], row["final"], row["greedy"]["n"]) for row in rows]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which fine-tuning is shared; tests do not train there."""
    out = tmp_path_factory.mktemp("runs")
    run(out, *ALONE)
    return out


def refuse_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, **__: Any) -> Any:
        raise AssertionError("fine-tuning is trained again")

    monkeypatch.setattr(training, "run", train)


@pytest.mark.slow
def test_other_settings_of_the_end_train_nothing_and_give_the_record_of_a_run_alone(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (*ALONE, "evaluate.prompts=24", "evaluate.pass_at_k_prompts=3")
    alone, _ = run(tmp_path / "alone", *other)
    refuse_training(monkeypatch)
    folder, summary = run(tuned, *other)
    assert measured(folder) == [(0, False, 8), (3, False, 8), (6, True, 24)]
    assert summary["pretrain"]["prompts"] == 24
    for name in ("metrics.jsonl", "rollouts.jsonl", "checkpoints/pretrain-6/model.safetensors"):
        assert (folder.path / name).read_bytes() == (alone.path / name).read_bytes(), name
    assert measured(shared_by(small(*ALONE), tuned)) == [(0, False, 8), (3, False, 8), (6, True, 16)]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["task.max_tokens=5", "task.test_size=10", "model.sampling_rows=3"])
def test_what_task_and_model_say_of_measuring_decides_the_end_with_its_responses(
    change: str, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last measurement and the responses that are shown are those of a run alone."""
    alone, _ = run(tmp_path, *ALONE, change)
    refuse_training(monkeypatch)
    folder, _ = run(tuned, *ALONE, change)
    before = RunFolder(tuned / small(*ALONE).run_id)
    assert folder.rows()[-1] == alone.rows()[-1] != before.rows()[-1]
    assert folder.rows("rollouts.jsonl") == alone.rows("rollouts.jsonl") != before.rows("rollouts.jsonl")


@pytest.mark.slow
def test_rl_follows_a_fine_tuning_that_was_measured_again(tmp_path: Path) -> None:
    run(tmp_path, *ALONE)
    folder, _ = run(tmp_path, "evaluate.prompts=20", "posttrain.steps=1")
    assert measured(folder)[-1] == (6, True, 20)
    assert [row["step"] for row in folder.rows() if row["stage"] == "posttrain" and row["kind"] == "update"] == [1]
    assert len(list(tmp_path.glob("stages/pretrain-*"))) == 1
