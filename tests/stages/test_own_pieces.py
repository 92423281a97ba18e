"""A reward and an algorithm of one's own, registered from Python, through a whole run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chainlift.cli.app import app
from chainlift.learning.presets import ALGORITHMS, Objective
from chainlift.learning.reward import REWARDS
from chainlift.runs.store import read_rows
from chainlift.stages import recipe as recipes
from chainlift.stages.planning.prediction import predicted
from tests.conftest import SMALL

CHANGES = [
    "pretrain.steps=15",
    "posttrain.steps=6",
    "posttrain.reward=brief",
    "posttrain.algorithm=mine",
    "evaluate.prompts=32",
    "evaluate.during=16",
]


@pytest.fixture(autouse=True)
def _own_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (REWARDS, ALGORITHMS):
        monkeypatch.setattr(registry, "_pieces", dict(registry._pieces))
    REWARDS.register("brief", lambda verdict: (verdict.answer_correct & ~verdict.long).float())
    ALGORITHMS.register("mine", Objective(advantage="leave_one_out", ratio="token", aggregate="sequence_sum"))


@pytest.mark.slow
@pytest.mark.smoke
def test_own_reward_and_algorithm_go_through_a_run(tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(SMALL, encoding="utf-8")
    command = ["run", str(recipe), *CHANGES, "--out", str(tmp_path / "runs")]
    shown = CliRunner().invoke(app, command, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "there is no prediction of RL with this reward" in shown.stderr
    assert "RL cannot lift this" not in shown.stderr
    done = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["posttrain"]["algorithm"] == "mine"
    theory = summary["theory"]
    assert theory["greedy_accuracy"] == 0.5
    assert theory["star_next_share"] is theory["star_rounds_to_flip"] is None
    assert set(theory["rl"].values()) == {None}
    folder = tmp_path / "runs" / summary["run_id"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "6 RL updates (192 sampled responses, mine)" in page
    assert summary["theory"]["reference"] is None
    rows = [row for row in read_rows(folder / "metrics.jsonl") if row["kind"] == "update" and "reward_mean" in row]
    assert len(rows) == 6
    assert all(row["reward_mean"] <= row["accuracy"] for row in rows)
    assert any(row["reward_mean"] < row["accuracy"] for row in rows), "the reward is the shipped one"


def test_theory_predicts_an_own_algorithm_made_of_known_parts_and_leaves_out_others() -> None:
    json_line = CliRunner().invoke(app, ["theory", "--algorithm", "mine", "--updates", "3", "--json"]).stdout
    assert json.loads(json_line)["reference"]["algorithm"] == "mine"
    ALGORITHMS.register("mine", ALGORITHMS.find("mine").model_copy(update={"advantage": "of my own"}))
    json_line = CliRunner().invoke(app, ["theory", "--algorithm", "mine", "--updates", "3", "--json"]).stdout
    assert json.loads(json_line)["reference"] is None


@pytest.mark.parametrize("recipe", ["noisy-chain", "linear-star", "headline"])
@pytest.mark.parametrize("degree", [1, 2])
def test_what_depends_on_an_own_reward_is_not_predicted_and_the_rest_is(recipe: str, degree: int) -> None:
    model = [f"model.stop_degree={degree}"] if recipe == "linear-star" else []
    known = predicted(recipes.load(recipe, model))
    told = predicted(recipes.load(recipe, [*model, "posttrain.reward=brief"]))
    assert told["star_next_share"] is told["star_rounds_to_flip"] is None
    assert set(told["rl"].values()) == {None}
    assert told["greedy_accuracy"] == known["greedy_accuracy"] is not None
    assert told["sampled_long_share"] == known["sampled_long_share"] is not None
