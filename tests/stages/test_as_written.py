"""The lines of docs/stages.md as a user types them, with `tiny` shrunk."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from chainlift.runs.store import read_rows
from tests.in_process import command

SHRUNK = ["pretrain.batch_size=16", "posttrain.steps=2", "posttrain.prompts=8", "evaluate.prompts=32"]
SHRUNK += ["evaluate.during=16", "evaluate.pass_at_k_prompts=2", "evaluate.pass_at_k_samples=2", "threads=1"]


def run(out: Path, *typed: str) -> tuple[dict[str, Any], Path]:
    """(summary, run folder) of `chainlift run tiny TYPED`."""
    ended = command("run", "tiny", *typed, *SHRUNK, "--out", out, "--json")
    assert ended.status == 0, ended.err
    summary = json.loads(ended.out.splitlines()[-1])
    return summary, out / summary["run_id"]


def updates(folder: Path, stage: str) -> list[dict[str, Any]]:
    return [row for row in read_rows(folder / "metrics.jsonl") if (row["stage"], row["kind"]) == (stage, "update")]


def test_rl_from_an_earlier_checkpoint_with_all_of_them_kept(tmp_path: Path) -> None:
    summary, folder = run(tmp_path, "posttrain.start=pretrain@100", "pretrain.keep=all")
    steps = sorted(int(path.name.partition("-")[2]) for path in (folder / "checkpoints").glob("pretrain-*"))
    assert steps == [25, 50, 75, 100, 125, 150, 160]
    assert summary["stages"]["posttrain"]["start"] == "pretrain"


def test_a_recipe_of_four_stages(tmp_path: Path) -> None:
    file = tmp_path / "four.yaml"
    file.write_text(
        """
task: {name: running_sum, d: 4}
model: {layers: 1, width: 16, heads: 2}
stages:
  words: {kind: ntp, steps: 6, batch_size: 8}
  rewards: {kind: rl, prompts: 4, group_size: 2, steps: 2}
  more_words: {kind: ntp, steps: 4, batch_size: 8}
  more_rewards: {kind: rl, prompts: 4, group_size: 2, steps: 2}
evaluate: {prompts: 16, during: 8, pass_at_k_prompts: 0}
""",
        encoding="utf-8",
    )
    ended = command("run", file, "--out", tmp_path / "runs", "--json")
    assert ended.status == 0, ended.err
    summary = json.loads(ended.out.splitlines()[-1])
    starts = {name: about["start"] for name, about in summary["stages"].items()}
    assert starts == {"words": None, "rewards": "words", "more_words": "rewards", "more_rewards": "more_words"}
    page = (tmp_path / "runs" / summary["run_id"] / "report.html").read_text(encoding="utf-8")
    assert "After 48 demonstrations of next-token prediction (words)" in page
    assert "Then, after 32 demonstrations of next-token prediction (more_words)" in page


def test_a_schedule_of_the_mixture(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "pretrain.mixture={p_cot: [[0, .05], [.5, .25]]}", "pretrain.batch_size=64")
    rows = updates(folder, "pretrain")
    tokens = [after["tokens"] - before["tokens"] for before, after in itertools.pairwise(rows)]
    assert sum(tokens[80:]) > 1.05 * sum(tokens[:79])  # more long demonstrations, of 9 output tokens instead of 2


def test_both_losses_at_once(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "posttrain.ntp_weight=.1", "pretrain.steps=5")
    rows = updates(folder, "posttrain")
    assert [row["ntp_loss"] > 0 for row in rows] == [True, True]


def test_other_numbers_of_prompts_train_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chainlift.stages.kinds import ntp, rl

    run(tmp_path, "pretrain.steps=5")
    for kind in (ntp.NextTokenPrediction, rl.ReinforcementLearning):
        monkeypatch.setattr(kind, "train", None)  # nothing could be trained now
    ended = command("run", "tiny", "pretrain.steps=5", *SHRUNK, "evaluate.prompts=33", "--out", tmp_path, "--json")
    assert ended.status == 0, ended.err
    measured = json.loads(ended.out.splitlines()[-1])
    assert [measured[name]["prompts"] for name in measured["stages"]] == [33, 33, 33]


def test_rl_of_a_checkpoint_from_elsewhere(tmp_path: Path) -> None:
    _, whole = run(tmp_path / "a", "pretrain.steps=5")
    start = whole / "checkpoints" / "pretrain-5"
    typed = ["pretrain=null", "continued_pretrain=null", f"posttrain.start={start}"]
    few = [one for one in SHRUNK if not one.startswith("pretrain.")]
    ended = command("run", "tiny", *typed, *few, "--out", tmp_path / "b", "--json")
    assert ended.status == 0, ended.err
    assert "RL can lift" not in ended.err
    summary = json.loads(ended.out.splitlines()[-1])
    page = (tmp_path / "b" / summary["run_id"] / "report.html").read_text(encoding="utf-8")
    assert "From a start outside this run, 2 RL updates" in page


def test_the_page_names_the_step_that_rl_began_with(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "posttrain.start=pretrain@2", "pretrain.steps=5", "pretrain.checkpoint_every=1")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "From step 2 of next-token prediction, 2 RL updates" in page
    assert "From the end of next-token prediction after" in page  # the baseline
