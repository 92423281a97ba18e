"""A run as an object: its records as DataFrames, its checkpoints by name, and errors of one line."""

import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

import chainlift as cl
from chainlift.report.frame import ONE_CELL
from chainlift.runs import checkpoint
from tests.api.conftest import SMALL


def test_evaluations_are_a_flat_table_of_what_the_record_holds(small_run: cl.Run) -> None:
    table = small_run.metrics("evaluation")
    last = table[table["stage"] == "posttrain"].iloc[-1]
    measured = small_run.summary["posttrain"]
    for quantity in ("greedy_accuracy", "sampled_long_share", "decision_go_on"):
        assert last[quantity] == measured[quantity]
    assert [last["greedy_accuracy_ci95_low"], last["greedy_accuracy_ci95_high"]] == measured["greedy_accuracy_ci95"]
    nested = [name for name in table if any(isinstance(cell, dict) for cell in table[name].tolist())]
    assert nested
    assert all(name.endswith(ONE_CELL) for name in nested)


def test_metrics_of_a_stage_are_its_rows_only(small_run: cl.Run) -> None:
    assert small_run.metrics("update", "pretrain")["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert set(small_run.metrics("update")["stage"]) == {"pretrain", "posttrain", "continued_pretrain"}


def test_checkpoints_are_named_and_give_their_own_weights(small_run: cl.Run) -> None:
    names = small_run.checkpoints
    assert names[:3] == ["pretrain@3", "pretrain@6", "posttrain@4"]
    kept = checkpoint.steps(small_run.folder / "checkpoints", "pretrain")
    early, late, also_late = (small_run.model(at) for at in ("pretrain@3", "pretrain@6", "pretrain"))
    again = small_run.model("pretrain@3")
    checkpoint.load_weights(kept[3], again)
    for one, same, other, last in zip(*(m.parameters() for m in (early, again, late, also_late)), strict=True):
        assert torch.equal(one, same)
        assert torch.equal(other, last)
    assert any(not torch.equal(a, b) for a, b in zip(early.parameters(), late.parameters(), strict=True))


def test_without_a_name_the_last_checkpoint_that_is_no_baseline_is_meant(small_run: cl.Run) -> None:
    named, unnamed = small_run.sample("0110", at="posttrain@4"), small_run.sample("0110")
    assert named == unnamed != small_run.sample("0110", at="pretrain@3")
    assert small_run.evaluate(prompts=8)["checkpoint"] == str(small_run.folder / "checkpoints" / "posttrain-4")


def test_task_figure_and_longer_prompts(small_run: cl.Run) -> None:
    assert small_run.task.prompt_length == 4
    assert isinstance(small_run.figure(), Figure)
    with pytest.raises(ValueError, match="d=6: needs 13 positions"):
        small_run.evaluate("d=6", prompts=8)


def test_a_changed_recipe_shares_what_it_does_not_change(small_run: cl.Run, capsys: pytest.CaptureFixture[str]) -> None:
    changed = cl.run(small_run.recipe, "posttrain.steps=2", out=small_run.folder.parent, page=False)
    assert changed.summary["posttrain"]["steps"] == 2
    assert changed.summary["pretrain"]["greedy_accuracy"] == small_run.summary["pretrain"]["greedy_accuracy"]
    assert "next-token prediction: taken from" in capsys.readouterr().err
    table = cl.runs(small_run.folder.parent).set_index("run_id")
    assert table["posttrain.steps"].to_dict() == {changed.folder.name: 2, small_run.folder.name: 4}


def test_the_same_call_gives_the_same_run_without_work(small_run: cl.Run, capsys: pytest.CaptureFixture[str]) -> None:
    again = cl.run("tiny", *SMALL, "pretrain.keep=[3]", seed=1, out=small_run.folder.parent, page=False)
    assert again.folder == small_run.folder
    assert "is done already" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["name", "recipe", "content"])
def test_a_recipe_may_be_given_in_every_form(source: str, tmp_path: Path) -> None:
    wanted = cl.recipe("tiny", *SMALL, "posttrain.algorithm=star", "continued_pretrain.token_ratio=2", seed=3)
    base = cl.recipe("tiny", *SMALL)
    given: Any = {"name": "tiny", "recipe": base, "content": base.model_dump()}[source]
    overrides = SMALL if source == "name" else []
    built = cl.recipe(given, *overrides, "posttrain.algorithm=star", "continued_pretrain.token_ratio=2", seed=3)
    assert (built.run_id, built) == (wanted.run_id, wanted)


def test_ctrl_c_keeps_a_checkpoint_and_the_same_call_goes_on(tmp_path: Path, own_pieces: None) -> None:
    calls = []

    @cl.reward
    def stopping(verdict: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return verdict.answer_correct.float()

    arguments = ["tiny", *SMALL, "posttrain.reward=stopping", "continued_pretrain=null"]
    with pytest.raises(KeyboardInterrupt, match="goes on from the last checkpoint"):
        cl.run(*arguments, out=tmp_path, quiet=True, page=False)
    (unfinished,) = [path for path in tmp_path.iterdir() if path.name.startswith("tiny")]
    with pytest.raises(ValueError, match="is not finished, so it has no summary"):
        _ = cl.open(unfinished).summary
    assert cl.runs(tmp_path)["state"].tolist() != ["done"]
    assert cl.run(*arguments, out=tmp_path, quiet=True, page=False).is_done
    assert cl.open(unfinished).summary["posttrain"]["steps"] == 4


def test_code_that_only_an_opened_folder_names_is_not_imported(small_run: cl.Run, here: Path) -> None:
    (here / "stranger.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    shutil.copytree(small_run.folder, here / "tiny-1-s1")
    file = here / "tiny-1-s1" / "recipe.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("reward: end_to_end", "reward: stranger:mine"), encoding="utf-8")
    opened = cl.open(here / "tiny-1-s1")
    acts = (lambda: cl.run(opened.recipe, "posttrain.lr=1"), lambda: cl.recipe(opened.recipe), lambda: opened.task)
    for act in acts:
        with pytest.raises(ValueError, match=r"'stranger:mine' is code, and .*recipe\.yaml names it, not you"):
            act()
    with pytest.raises(SystemExit, match="imported"):
        cl.recipe(opened.recipe, trust=True)


def test_a_damaged_run_is_a_row_that_says_so(small_run: cl.Run, tmp_path: Path) -> None:
    for name, text in (("recipe.yaml", "name: [1"), ("metrics.jsonl", "")):
        (tmp_path / "tiny-0-s0").mkdir(exist_ok=True)
        (tmp_path / "tiny-0-s0" / name).write_text(text, encoding="utf-8")
    table = cl.runs(tmp_path)
    assert table["state"].tolist() == ["damaged"]
    assert "recipe.yaml" in table["note"][0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: cl.run("tinny"), r"no recipe 'tinny', did you mean 'tiny'\?"),
        (lambda run: cl.run("tiny", "posttrain.lrr=1"), r"posttrain\.lrr: unknown key, did you mean 'lr'\?"),
        (lambda run: run.model("pretrian@3"), r"checkpoint 'pretrian@3' is not there, did you mean 'pretrain@3'\?"),
        (
            lambda run: run.sample(at="posttrian"),
            r"'posttrian' is not there, did you mean 'posttrain'\?; there",
        ),
        (lambda run: run.metrics("evaluations"), r"kind 'evaluations' is not there, did you mean 'evaluation'\?"),
        (lambda run: run.metrics(stage="pretrian"), r"stage 'pretrian' is not there, did you mean 'pretrain'\?"),
        (lambda run: cl.open(run.folder / "checkpoints"), "checkpoints is not a run folder: it has no recipe.yaml"),
        (lambda run: cl.open(run.folder.parent), r"is not one itself: cl\.runs\("),
        (lambda run: cl.open(f"{run.folder}0"), "is not a folder, did you mean 'tiny-"),
        (lambda run: cl.runs(run.folder / "nowhere"), "nowhere is not a folder"),
        (lambda run: cl.theory(p_cot=2), "p_cot"),
        (lambda run: cl.theory(algorithm="gropo"), r"algorithm 'gropo' is not known, did you mean '"),
        (lambda run: cl.sweep("tiny", {"seed": [1]}), "seed is not an axis"),
        (lambda run: cl.sweep("tiny", {"task.d": [4]}, launcher="lokal"), r"'lokal' is not one of local, ray, slurm"),
    ],
)
def test_what_is_wrong_is_one_line(small_run: cl.Run, here: Path, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call(small_run)
    assert len(str(caught.value).splitlines()) == 1
    assert list(here.iterdir()) == []


def test_without_pandas_the_error_names_the_extra(small_run: cl.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ValueError, match=r"pip install 'chainlift\[notebook\]'"):
        small_run.metrics()
    with pytest.raises(ValueError, match=r"pip install 'chainlift\[notebook\]'"):
        cl.sweep("tiny", {"task.d": [4]})
    assert small_run.summary["recipe"] == "tiny"


def test_tables_are_data_frames(small_run: cl.Run) -> None:
    assert isinstance(small_run.metrics(), pd.DataFrame)
    assert isinstance(cl.runs(small_run.folder.parent), pd.DataFrame)
