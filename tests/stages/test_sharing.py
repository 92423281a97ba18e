"""A stage is shared by all runs that agree on it, however they measure; --fresh trains again what a run needs."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chainlift.cli import app
from chainlift.report.terminal import Reporter
from chainlift.runs.store import RunFolder, read_rows
from chainlift.stages import context, pipeline, sharing
from chainlift.stages import recipe as recipes
from chainlift.stages.failures import Interrupted
from chainlift.stages.ntp import NextTokenPrediction
from chainlift.stages.recipe import Recipe
from chainlift.stages.rl import ReinforcementLearning

RECIPE: dict[str, Any] = {
    "name": "small",
    "task": {"name": "running_sum", "d": 2},
    "model": {"layers": 1, "width": 8, "heads": 1},
    "stages": {"pretrain": {"kind": "ntp", "steps": 4, "batch_size": 4, "checkpoint_every": 2}},
    "evaluate": {"prompts": 16, "during": 8, "every": 2, "pass_at_k_prompts": 4, "pass_at_k_samples": 2},
    "threads": 1,
}


def made(*overrides: str) -> Recipe:
    return recipes.override(recipes.build(dict(RECIPE)), list(overrides))


def run(recipe: Recipe, out: Path, *, fresh: bool = False) -> pipeline.Result:
    return pipeline.run(recipe, out, Reporter(quiet=True), fresh=fresh)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and its stage 1; tests copy it."""
    out = tmp_path_factory.mktemp("first")
    run(made(), out)
    return out


@pytest.fixture
def out(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "runs"))


def refuse_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, **__: Any) -> Any:
        raise AssertionError("a stage is trained again")

    monkeypatch.setattr(NextTokenPrediction, "train", train)


def shared_by(recipe: Recipe, out: Path, name: str = "pretrain") -> Path:
    """Where a stage of a recipe is shared."""
    return sharing.folder_of(out, name, recipe.stage_digest(name), recipe.seed)


def test_other_settings_of_the_end_train_nothing_and_give_the_record_of_a_run_alone(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = made("evaluate.prompts=24", "evaluate.pass_at_k_samples=4")
    alone = run(other, tmp_path / "alone")
    refuse_training(monkeypatch)
    result = run(other, out)
    assert result.summary["pretrain"]["prompts"] == 24
    rows = read_rows(result.folder / "metrics.jsonl")
    measured = [(row["step"], row["final"], row["greedy"]["n"]) for row in rows if row["kind"] == "evaluation"]
    assert measured == [(0, False, 8), (2, False, 8), (4, True, 24)]
    assert rows[-1]["sampled"]["pass_at_k_n"] == 4
    for name in ("metrics.jsonl", "rollouts.jsonl", "checkpoints/pretrain-4/model.safetensors"):
        assert (result.folder / name).read_bytes() == (alone.folder / name).read_bytes(), name
    shared = RunFolder(shared_by(other, out))
    assert [row["greedy"]["n"] for row in shared.rows() if row["kind"] == "evaluation"] == [8, 8, 16]


def test_rl_follows_a_stage_1_that_was_measured_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records are longer than those of the shared stage: RL's must begin where they end."""
    refuse_training(monkeypatch)
    rl = ["stages.posttrain={kind: rl, prompts: 2, group_size: 2, updates: 1}", "evaluate.prompts=999"]
    result = run(made(*rl), out)
    rows = read_rows(result.folder / "metrics.jsonl")
    assert [row["greedy"]["n"] for row in rows if row["kind"] == "evaluation" and row["final"]] == [999, 999]


def test_measurements_on_the_way_are_those_of_the_run_that_trained(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_training(monkeypatch)
    rows = read_rows(run(made("evaluate.during=5"), out).folder / "metrics.jsonl")
    assert [row["greedy"]["n"] for row in rows if row["kind"] == "evaluation"] == [8, 8, 16]


def test_a_stage_that_another_run_has_finished_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this run had trained of it gives way, and the record is that of a run alone."""
    whole = run(made("evaluate.prompts=24"), tmp_path / "whole")
    out = tmp_path / "runs"
    with monkeypatch.context() as patched:
        patched.setattr(context.Context, "stopping", property(lambda self: True))
        with pytest.raises(Interrupted):
            run(made("evaluate.prompts=24"), out)
    assert not (shared_by(made(), out) / "DONE").exists()
    run(made(), out)
    refuse_training(monkeypatch)
    taken = run(made("evaluate.prompts=24"), out)
    assert contents(taken.folder) == contents(whole.folder)


def contents(folder: Path) -> dict[str, bytes]:
    files = ("metrics.jsonl", "rollouts.jsonl", "checkpoints/*/*.safetensors")
    return {str(file.relative_to(folder)): file.read_bytes() for pattern in files for file in folder.glob(pattern)}


RL = "stages.posttrain={kind: rl, prompts: 2, group_size: 2, updates: 2, checkpoint_every: 1}"
FOUR = (
    RL,
    "stages.more={kind: ntp, steps: 3, batch_size: 4}",
    "stages.again={kind: rl, prompts: 2, group_size: 2, updates: 1}",
)


def test_four_stages_in_a_row(tmp_path: Path) -> None:
    result = run(made(*FOUR), tmp_path)
    assert list(result.summary["stages"]) == ["pretrain", "posttrain", "more", "again"]
    titles = [stage["title"] for stage in result.summary["stages"].values()]
    assert titles == [
        "next-token prediction (pretrain)", "reinforcement learning (posttrain)",
        "next-token prediction (more)", "reinforcement learning (again)",
    ]  # fmt: skip
    rows = read_rows(result.folder / "metrics.jsonl")
    assert list(dict.fromkeys(row["stage"] for row in rows)) == ["pretrain", "posttrain", "more", "again"]
    assert len(list((tmp_path / "stages").iterdir())) == 4


def test_runs_share_every_stage_in_which_they_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(made(*FOUR), tmp_path)
    trained: list[str] = []
    for kind in (NextTokenPrediction, ReinforcementLearning):
        original = kind.train
        monkeypatch.setattr(
            kind, "train", lambda self, c, place, o=original: (trained.append(place.name), o(self, c, place))
        )
    other = run(made(*FOUR, "again.updates=2", "name=other"), tmp_path)
    assert trained == ["again"]
    rows = [
        [row for row in read_rows(one.folder / "metrics.jsonl") if row["stage"] != "again"] for one in (first, other)
    ]
    assert rows[0] == rows[1]
    trained.clear()
    measured = run(made(*FOUR, "evaluate.prompts=17"), tmp_path)
    assert trained == []
    assert [measured.summary[name]["prompts"] for name in measured.summary["stages"]] == [17] * 4


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
    with pytest.raises(ValueError, match=r"posttrain.start: what it starts from has changed .*--fresh"):
        run(chosen, tmp_path / "b")
    run(chosen, tmp_path / "b", fresh=True)


def test_checkpoints_that_runs_need_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (2, 3):
        run(made(RL, f"posttrain.start=pretrain@{step}"), tmp_path)
    refuse_training(monkeypatch)  # of next-token prediction
    run(made(RL, "posttrain.start=pretrain@2", "posttrain.updates=1"), tmp_path)
    run(made(RL, "posttrain.start=pretrain@3", "posttrain.updates=1"), tmp_path)


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


DAMAGE = {
    "weights": "checkpoints/pretrain-4/model.safetensors",
    "averages": "checkpoints/pretrain-4/trainer_state.safetensors",
    "state": "checkpoints/pretrain-4/trainer_state.json",
    "checksums": "checkpoints/pretrain-4/checksums.json",
    "summary": "summary.json",
    "marker": ".identity",
    "rows": "metrics.jsonl",
}


@pytest.mark.parametrize("what", [*DAMAGE, "lost"])
def test_a_damaged_shared_stage_is_named_and_fresh_trains_it_again(
    what: str, out: Path, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = shared_by(made(), out)
    if what == "lost":
        shutil.rmtree(shared / "checkpoints" / "pretrain-4")
    else:
        damaged = shared / DAMAGE[what]
        damaged.write_bytes(b"\x00" + damaged.read_bytes()[1:])
    other = made("name=other", "title=other")
    with pytest.raises(ValueError, match="--fresh") as error:
        run(other, out)
    assert str(shared) in str(error.value)
    assert "\n" not in str(error.value)
    result = run(other, out, fresh=True)
    assert contents(result.folder) == contents(first / made().run_id)
    refuse_training(monkeypatch)
    run(made("name=third"), out)  # sound now, and taken as it is


def test_fresh_trains_every_stage_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_training(monkeypatch)
    with pytest.raises(AssertionError, match="trained again"):
        run(made(), out, fresh=True)


def test_fresh_leaves_a_run_alone_in_which_another_process_works(out: Path, recipe: Path) -> None:
    folder = RunFolder(out / made().run_id)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with folder.lock(wait=False), pytest.raises(ValueError, match="another process is at work in"):
        run(made(), out, fresh=True)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_a_page_that_cannot_be_written_leaves_the_run_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chainlift.report import page

    file = tmp_path / "small.yaml"
    file.write_text(
        "task: {d: 2}\nstages: {pretrain: {kind: ntp, steps: 1}}\nevaluate: {prompts: 4, during: 2}\n", encoding="utf-8"
    )

    def refuse(*_: object) -> None:
        raise UnicodeEncodeError("ascii", "\u2212", 0, 1, "ordinal not in range")

    monkeypatch.setattr(page.figures, "write_all", refuse)
    done = CliRunner().invoke(app, ["run", str(file), "--out", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.output
    (folder,) = (tmp_path / "runs").glob("small-*")
    assert (folder / "DONE").exists()
    (line,) = [line for line in done.output.splitlines() if "could not be written" in line]
    assert line.endswith(f"later: chainlift report {folder}")
    assert "report:" not in done.output
    monkeypatch.undo()
    again = CliRunner().invoke(app, ["run", str(file), "--out", str(tmp_path / "runs")])
    assert again.exit_code == 0
    assert (folder / "report.html").exists()
