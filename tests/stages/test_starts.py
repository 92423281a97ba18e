"""Where a stage starts, what it keeps, and what it is made of: steps, folders, fresh weights, schedules, two losses."""

import shutil
from pathlib import Path

import pytest

from chainlift.runs.store import read_rows
from chainlift.stages import pipeline
from tests.stages.small_runs import FOUR, RL, contents, made, refuse_training, run, shared_by


@pytest.mark.parametrize("average", [(), ("pretrain.average_tail=1.0", "pretrain.average_window=2")])
def test_a_stage_may_start_from_a_step_of_another(average: tuple[str, ...], tmp_path: Path) -> None:
    """As if that one had ended there, where its rate does not depend on its length; with its averaged weights."""
    constant = ("pretrain.schedule=constant", "pretrain.warmup=0", *average)
    from_step = run(made(*constant, RL, "posttrain.start=pretrain@2"), tmp_path / "a")
    ended = run(made(*constant, RL, "pretrain.steps=2"), tmp_path / "b")
    weights = "checkpoints/posttrain-2/model.safetensors"
    assert (from_step.folder / weights).read_bytes() == (ended.folder / weights).read_bytes()
    assert (from_step.folder / "checkpoints/pretrain-2").is_dir()  # kept, as a stage begins there


@pytest.mark.parametrize(
    ("keep", "steps"), [("last", [4]), ("all", [2, 4]), ("[1, 3]", [1, 3, 4]), ("{every: 3}", [3, 4])]
)
def test_checkpoints_are_kept_and_taken_over(
    keep: str, steps: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(result: pipeline.Result) -> list[int]:
        return sorted(int(path.name.partition("-")[2]) for path in (result.folder / "checkpoints").iterdir())

    assert kept(run(made(f"pretrain.keep={keep}"), tmp_path)) == steps
    refuse_training(monkeypatch)
    assert kept(run(made(f"pretrain.keep={keep}", "name=other"), tmp_path)) == steps
    assert kept(run(made("name=last"), tmp_path)) == [4]


def test_a_shared_stage_without_a_checkpoint_that_is_needed_is_trained_again(tmp_path: Path) -> None:
    run(made(), tmp_path)
    result = run(made(RL, "posttrain.start=pretrain@3"), tmp_path)
    assert (result.folder / "checkpoints/pretrain-3").is_dir()
    steps = {path.name for path in (shared_by(made(), tmp_path) / "checkpoints").iterdir()}
    assert steps == {"pretrain-3", "pretrain-4"}  # and is shared from now on


def test_a_stage_may_start_from_the_folder_of_a_checkpoint(tmp_path: Path) -> None:
    whole = run(made(RL), tmp_path / "a")
    start = whole.folder / "checkpoints" / "pretrain-4"
    other = run(made("pretrain=null", RL, f"posttrain.start={start}"), tmp_path / "b")
    weights = "checkpoints/posttrain-2/model.safetensors"
    assert (other.folder / weights).read_bytes() == (whole.folder / weights).read_bytes()
    with pytest.raises(ValueError, match=r"posttrain.start: .*there is no checkpoint: it has no model.safetensors"):
        run(made("pretrain=null", RL, f"posttrain.start={tmp_path}/there"), tmp_path / "c")


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_lost_checkpoint_in_the_middle_is_made_again_with_all_that_follows(is_shared: bool, tmp_path: Path) -> None:
    whole = run(made(*FOUR), tmp_path)
    before = contents(whole.folder)
    for name in ("DONE", "summary.json"):
        (whole.folder / name).unlink()
    shutil.rmtree(whole.folder / "checkpoints" / "posttrain-2")
    if not is_shared:
        shutil.rmtree(tmp_path / "stages")
    assert contents(run(made(*FOUR), tmp_path).folder) == before


def test_a_stage_that_a_kill_left_unshared_is_shared_by_the_next_run_of_its_folder(tmp_path: Path) -> None:
    whole = run(made(RL), tmp_path)
    for folder in (whole.folder, shared_by(made(), tmp_path)):
        (folder / "DONE").unlink()
    run(made(RL), tmp_path)
    assert (shared_by(made(), tmp_path) / "DONE").exists()


def test_a_folder_that_changes_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(run(made(RL), tmp_path / "a").folder / "checkpoints" / "pretrain-4", start)
    chosen = made("pretrain=null", RL, f"posttrain.start={start}")
    run(chosen, tmp_path / "b")
    shutil.rmtree(start)
    shutil.copytree(run(made("seed=1"), tmp_path / "a").folder / "checkpoints" / "pretrain-4", start)
    with pytest.raises(ValueError, match=r"posttrain: what it was made from .* has changed .*--fresh"):
        run(chosen, tmp_path / "b")
    run(chosen, tmp_path / "b", fresh=True)


def test_checkpoints_that_runs_need_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (2, 3):
        run(made(RL, f"posttrain.start=pretrain@{step}"), tmp_path)
    refuse_training(monkeypatch)  # of next-token prediction
    run(made(RL, "posttrain.start=pretrain@2", "posttrain.steps=1"), tmp_path)
    run(made(RL, "posttrain.start=pretrain@3", "posttrain.steps=1"), tmp_path)


def test_all_checkpoints_are_not_the_last_one_of_another_run(tmp_path: Path) -> None:
    run(made(), tmp_path)
    kept = run(made("pretrain.keep=all", "name=other"), tmp_path).folder / "checkpoints"
    assert sorted(path.name for path in kept.iterdir()) == ["pretrain-2", "pretrain-4"]


def test_fresh_weights_are_a_start_like_another(tmp_path: Path) -> None:
    result = run(made(RL, "posttrain.start=null"), tmp_path)
    alone = run(made("pretrain=null", RL), tmp_path / "alone")
    weights = "checkpoints/posttrain-2/model.safetensors"
    assert (result.folder / weights).read_bytes() == (alone.folder / weights).read_bytes()


def test_a_schedule_draws_its_own_shares(tmp_path: Path) -> None:
    """All short in the first half, all long in the second."""
    result = run(made("pretrain.mixture={p_cot: [[0, 0], [.5, 1]]}"), tmp_path)
    rows = [row for row in read_rows(result.folder / "metrics.jsonl") if row["kind"] == "update"]
    assert [row["loss_long"] is None for row in rows] == [True, True, False, False]
    assert [row["loss_short"] is None for row in rows] == [False, False, True, True]


def test_a_next_token_loss_beside_the_policy_loss(tmp_path: Path) -> None:
    result = run(made(RL, "posttrain.ntp_weight=.1", "posttrain.mixture={p_cot: 1}"), tmp_path)
    rows = [
        row
        for row in read_rows(result.folder / "metrics.jsonl")
        if (row["stage"], row["kind"]) == ("posttrain", "update")
    ]
    assert all(row["ntp_loss"] > 0 and row["ntp_loss_short"] is None for row in rows)
    plain = run(made(RL), tmp_path / "plain")
    rows = [row for row in read_rows(plain.folder / "metrics.jsonl") if row["kind"] == "update"]
    assert not any("ntp_loss" in row for row in rows)
