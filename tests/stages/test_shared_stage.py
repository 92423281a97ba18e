"""Stage 1 is shared by all runs that agree on it, however they measure; --fresh helps where it is damaged or in use."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chainlift import recipe as recipes
from chainlift.cli import app
from chainlift.recipe import Recipe
from chainlift.report.terminal import Reporter
from chainlift.runs.store import RunFolder, read_rows
from chainlift.stages import context, pipeline, shared_stage

RECIPE: dict[str, Any] = {
    "name": "small",
    "task": {"name": "running_sum", "d": 2},
    "model": {"layers": 1, "width": 8, "heads": 1},
    "pretrain": {"steps": 4, "batch_size": 4, "checkpoint_every": 2},
    "evaluate": {"prompts": 16, "during": 8, "every": 2, "pass_at_k_prompts": 4, "pass_at_k_samples": 2},
    "threads": 1,
}


def made(*overrides: str) -> Recipe:
    return recipes.override(recipes.build(dict(RECIPE)), list(overrides))


def run(recipe: Recipe, out: Path, *, fresh: bool = False) -> pipeline.Result:
    return pipeline.run(recipe, out, Reporter(quiet=True), fresh=fresh, with_page=False)


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
        raise AssertionError("stage 1 is trained again")

    monkeypatch.setattr(shared_stage, "pretrain", train)


@pytest.mark.parametrize(
    "override",
    [
        "evaluate.prompts=24",
        "evaluate.during=5",
        "evaluate.pass_at_k_prompts=0",
        "evaluate.pass_at_k_samples=4",
        "evaluate.posttrain_every=7",
        "pretrain.checkpoint_every=3",
    ],
)
def test_how_is_measured_and_kept_is_no_part_of_stage_1(override: str) -> None:
    assert made(override).stage_1.run_id == made().stage_1.run_id
    assert made(override).run_id != made().run_id


@pytest.mark.parametrize("override", ["evaluate.every=1", "pretrain.steps=5", "pretrain.lr=0.1", "seed=3", "task.d=3"])
def test_what_is_computed_and_at_which_steps_it_is_measured_is_one(override: str) -> None:
    assert made(override).stage_1.run_id != made().stage_1.run_id


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
    shared = RunFolder(out / other.stage_1.run_id)
    assert [row["greedy"]["n"] for row in shared.rows() if row["kind"] == "evaluation"] == [8, 8, 16]


def test_rl_follows_a_stage_1_that_was_measured_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records are longer than those of the shared stage: RL's must begin where they end."""
    refuse_training(monkeypatch)
    rl = ["posttrain={prompts: 2, group_size: 2, updates: 1}", "evaluate.prompts=999"]
    result = run(made(*rl), out)
    rows = read_rows(result.folder / "metrics.jsonl")
    assert [row["greedy"]["n"] for row in rows if row["kind"] == "evaluation" and row["final"]] == [999, 999]


def test_measurements_on_the_way_are_those_of_the_run_that_trained(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_training(monkeypatch)
    rows = read_rows(run(made("evaluate.during=5"), out).folder / "metrics.jsonl")
    assert [row["greedy"]["n"] for row in rows if row["kind"] == "evaluation"] == [8, 8, 16]


def test_who_goes_on_with_a_stage_1_measures_as_the_run_that_began_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(context.Context, "stopping", property(lambda self: True))
        with pytest.raises(shared_stage_interrupted()):
            run(made(), tmp_path)
    rows = read_rows(run(made("evaluate.during=5", "evaluate.prompts=24"), tmp_path).folder / "metrics.jsonl")
    assert [row["greedy"]["n"] for row in rows if row["kind"] == "evaluation"] == [8, 8, 24]


def shared_stage_interrupted() -> type[Exception]:
    from chainlift.stages.failures import Interrupted

    return Interrupted


DAMAGE = {
    "weights": "checkpoints/pretrain-4/model.safetensors",
    "averages": "checkpoints/pretrain-4/trainer_state.safetensors",
    "state": "checkpoints/pretrain-4/trainer_state.json",
    "checksums": "checkpoints/pretrain-4/checksums.json",
    "recipe": "recipe.yaml",
    "marker": ".identity",
    "rows": "metrics.jsonl",
}


@pytest.mark.parametrize("what", [*DAMAGE, "lost"])
def test_a_damaged_stage_1_is_named_and_fresh_trains_it_again(
    what: str, out: Path, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = out / made().stage_1.run_id
    if what == "lost":
        shutil.rmtree(shared / "checkpoints" / "pretrain-4")
    else:
        damaged = shared / DAMAGE[what]
        damaged.write_bytes(b"\x00" + damaged.read_bytes()[1:])
    other = made("task.name=running_sum", "name=other", "title=other")
    with pytest.raises(ValueError, match="--fresh") as error:
        run(other, out)
    assert str(shared) in str(error.value)
    assert "\n" not in str(error.value)
    result = run(other, out, fresh=True)
    for name in ("metrics.jsonl", "rollouts.jsonl", "checkpoints/pretrain-4/model.safetensors"):
        assert (result.folder / name).read_bytes() == (first / made().run_id / name).read_bytes(), name
    refuse_training(monkeypatch)
    run(other, out, fresh=True)  # sound now, and taken as it is


def test_fresh_leaves_a_run_alone_in_which_another_process_works(out: Path, recipe: Path) -> None:
    folder = RunFolder(out / made().run_id)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with folder.lock(wait=False), pytest.raises(ValueError, match="another process is at work in"):
        run(made(), out, fresh=True)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_a_page_that_cannot_be_written_leaves_the_run_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chainlift.report import page

    file = tmp_path / "small.yaml"
    file.write_text("task: {d: 2}\npretrain: {steps: 1}\nevaluate: {prompts: 4, during: 2}\n", encoding="utf-8")

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
