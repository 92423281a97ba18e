"""A stage is shared by all runs that agree on it, however they measure; --fresh trains again what a run needs."""

import io
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chainlift.cli import app
from chainlift.report.pages import run_page
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs.store import RunFolder, read_rows
from chainlift.stages import context, pipeline
from chainlift.stages.failures import Interrupted
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.stages.kinds.rl import ReinforcementLearning
from tests.stages.small_runs import FOUR, contents, made, refuse_training, run, shared_by


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and its stage 1; tests copy it."""
    out = tmp_path_factory.mktemp("first")
    run(made(), out)
    return out


@pytest.fixture
def out(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "runs"))


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
    rl = ["stages.posttrain={kind: rl, prompts: 2, group_size: 2, steps: 1}", "evaluate.prompts=999"]
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
    other = run(made(*FOUR, "again.steps=2", "name=other"), tmp_path)
    assert trained == ["again"]
    rows = [
        [row for row in read_rows(one.folder / "metrics.jsonl") if row["stage"] != "again"] for one in (first, other)
    ]
    assert rows[0] == rows[1]
    trained.clear()
    measured = run(made(*FOUR, "evaluate.prompts=17"), tmp_path)
    assert trained == []
    assert [measured.summary[name]["prompts"] for name in measured.summary["stages"]] == [17] * 4


DAMAGE = {
    "weights": "checkpoints/pretrain-4/model.safetensors",
    "averages": "checkpoints/pretrain-4/optimizer.safetensors",
    "state": "checkpoints/pretrain-4/state.json",
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


def test_a_run_that_waits_for_another_says_so_once(tmp_path: Path) -> None:
    said = io.StringIO()
    folder = RunFolder.open(shared_by(made(), tmp_path), {}, made().stage_digest("pretrain"))
    with ExitStack() as held:
        held.enter_context(folder.lock(wait=False))
        timer = threading.Timer(1.0, held.close)
        timer.start()
        pipeline.run(made(), tmp_path, Reporter(file=said))
        timer.join()
    assert said.getvalue().count("another run is training it; this one waits") == 1


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

    file = tmp_path / "small.yaml"
    file.write_text(
        "task: {d: 2}\nstages: {pretrain: {kind: ntp, steps: 1}}\nevaluate: {prompts: 4, during: 2}\n", encoding="utf-8"
    )

    def refuse(*_: object) -> None:
        raise UnicodeEncodeError("ascii", "\u2212", 0, 1, "ordinal not in range")

    monkeypatch.setattr(run_page.static, "write", refuse)
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
