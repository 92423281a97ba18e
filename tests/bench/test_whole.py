"""Whole runs and the weld of transformers and TRL: the same training as ours, and the same accuracies in the end."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

from chainlift.bench import peers, states, weld, whole
from chainlift.bench.machine import Machine
from chainlift.bench.states import next_token_stage
from chainlift.bench.tables import whole_table
from chainlift.bench.whole import OURS, WELD, Whole, WholeRun
from chainlift.cli import main
from chainlift.learning.optimizer import make_optimizer
from chainlift.models.hub import model_folder
from chainlift.report.terminal.reporter import Reporter
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry

ACCURACIES = {"pretrain": {"greedy": 0.5, "sampled": 0.6, "length": 1.0}}


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_the_weld_takes_the_steps_that_a_run_takes(family: str, small: Recipe, tmp_path: Path) -> None:
    changes = ["pretrain.steps=8", "pretrain.optimizer=adamw", "pretrain.average_tail=0.5", "pretrain.average_window=3"]
    changes += ["posttrain=null", "continued_pretrain=null", "evaluate.every=4", f"model.family={family}", "threads=1"]
    recipe = recipes.override(small, changes)
    run = pipeline.run(recipe, tmp_path / "runs", Reporter(quiet=True))
    ours = model_folder.load(next((run.folder / "checkpoints").glob("pretrain-*")))[0]
    (tmp_path / "start").mkdir()
    states.save_new(recipe, tmp_path / "start")
    theirs = peers.load(tmp_path / "start", Machine(), training=True)
    name, first = next_token_stage(recipe)
    weld.Weld(recipe, registry.build(recipe.task)).next_tokens(theirs, first, name, 8)
    torch.testing.assert_close(theirs.lm_head.weight, ours.head.weight, rtol=1e-4, atol=1e-5)  # pyright: ignore


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_muon_moves_the_same_matrices_on_both_sides(family: str, small: Recipe, tmp_path: Path) -> None:
    recipe = recipes.override(small, [f"model.family={family}", "pretrain.optimizer=muon"])
    states.save_new(recipe, tmp_path)
    _, first = next_token_stage(recipe)
    theirs = weld.optimizers(peers.load(tmp_path, Machine(), training=True), first)
    ours = make_optimizer(model_folder.load(tmp_path)[0], first).parts
    sizes = []
    for side in (ours, theirs):
        (muon,) = (optimizer for optimizer in side if type(optimizer).__name__ == "Muon")
        sizes.append([parameter.numel() for group in muon.param_groups for parameter in group["params"]])
    assert sum(sizes[0]) == sum(sizes[1]) > 0  # transformers divides queries, keys and values in one family


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["posttrain.algorithm=rloo"], "posttrain.algorithm: --whole welds grpo and dr_grpo only"),
        (["posttrain.optimizer=muon"], "optimizer: --whole welds"),
        (["pretrain.loss_weighting=sequence_mean"], "pretrain.loss_weighting: --whole welds token_mean only"),
        (["posttrain=null", "continued_pretrain=null"], "has no RL"),
    ],
)
def test_what_cannot_be_welded_is_refused(overrides: list[str], told: str, small: Recipe) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        whole.check(recipes.override(small, overrides))


def test_ratios_are_taken_within_repetitions() -> None:
    times = [(OURS, 0, 2.0), (WELD, 0, 8.0), (WELD, 1, 30.0), (OURS, 1, 3.0), (OURS, 2, 1.0), (WELD, 2, 5.0)]
    found = Whole([WholeRun(side, seed, wall, 2 * wall, 2**20, ACCURACIES) for side, seed, wall in times])
    assert found.ratio("wall_seconds") == (5.0, 4.0, 10.0)
    assert json.loads(json.dumps(found.as_dict()))["ratios"]["core_seconds"]["median"] == 5.0
    assert whole_table(found).row_count == 5
    assert Whole(found.of(OURS)).ratio("wall_seconds") is None


def test_a_side_that_fails_says_why(small: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(whole, "_ours", lambda *_: ([sys.executable, "-c", "raise OSError('no room')"], dict))
    with pytest.raises(RuntimeError, match="chainlift run failed: OSError: no room"):
        whole.compare(small, 1, with_weld=False, before=told.append, after=lambda run: None)
    assert told == ["whole run 1 of 1: chainlift run, seed 0"]


@pytest.mark.slow
def test_both_sides_reach_the_same_accuracies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    fewer = ["evaluate.during=32", "evaluate.prompts=512", "evaluate.every=200", "evaluate.every_rounds=20"]
    fewer += ["continued_pretrain.token_ratio=0.2"]
    arguments = ["bench", "tiny", *fewer, "threads=1", "--whole", "--repeats", "1", "--json"]
    monkeypatch.setattr(sys, "argv", ["chainlift", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    runs = json.loads(capsys.readouterr().out.splitlines()[-1])["whole"]["runs"]
    assert [run["side"] for run in runs] == [OURS, WELD]
    for run in runs:
        found = run["accuracies"]
        assert found["pretrain"]["greedy"] < 0.7
        assert found["pretrain"]["length"] == 1
        assert found["posttrain"]["greedy"] > 0.95
        assert found["posttrain"]["length"] == 8
        assert found["continued_pretrain"]["length"] == 1
        assert run["core_seconds"] > 1
        assert run["peak_bytes"] > 2**27
    assert runs[0]["peak_bytes"] != runs[1]["peak_bytes"]  # not this process's, with which a child's account begins
