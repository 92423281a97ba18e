"""`chainlift run llm-tiny-trl`, shrunk: baseline, tracker, a SIGKILL and going on, and what else a stage can do."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

import chainlift as cl
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.runs import trackers
from chainlift.runs.store import RunFolder
from chainlift.text.task import TextTask
from tests.forked import Forked
from tests.in_process import command

pytestmark = pytest.mark.slow

SHRUNK = [
    "task.train_size=60", "task.test_size=16", "task.min_steps=1", "task.max_steps=1", "task.max_number=10",
    "task.max_tokens=12", "model.scratch.layers=1", "model.scratch.width=16", "model.scratch.heads=2",
    "model.scratch.mlp=32", "model.scratch.vocabulary=320", "pretrain.steps=12", "pretrain.batch_size=8",
    "pretrain.micro_batch_size=8", "pretrain.warmup=2", "pretrain.checkpoint_every=4", "posttrain.prompts=2",
    "posttrain.group_size=4", "posttrain.steps=3", "posttrain.micro_batch_size=8", "posttrain.checkpoint_every=1",
    "evaluate.prompts=8", "evaluate.during=4", "evaluate.every=6", "evaluate.every_rounds=2", "device=cpu",
    "threads=1",
]  # fmt: skip


def run(out: Path, *typed: str) -> tuple[dict[str, Any], RunFolder]:
    """(summary, folder) of `chainlift run llm-tiny-trl TYPED`, shrunk."""
    ended = command("run", "llm-tiny-trl", *SHRUNK, *typed, "--out", out, "--json")
    assert ended.status == 0, ended.err
    summary = json.loads(ended.out.splitlines()[-1])
    return summary, RunFolder(out / summary["run_id"])


def updates(folder: RunFolder, stage: str) -> list[dict[str, Any]]:
    return [row for row in folder.rows() if (row["stage"], row["kind"]) == (stage, "update")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], RunFolder]:
    """A run that nothing has interrupted."""
    return run(tmp_path_factory.mktemp("whole"), "track=tensorboard")


def test_the_baseline_processes_as_many_tokens_and_the_page_shows_it(whole: tuple[dict[str, Any], RunFolder]) -> None:
    summary, folder = whole
    rl, baseline = summary["posttrain"], summary["continued_pretrain"]
    longest = max(row["tokens"] for row in updates(folder, "pretrain")[:1]) * 2  # an update's tokens, with room
    assert rl["tokens"] <= baseline["tokens"] <= rl["tokens"] + longest
    assert summary["stages"]["continued_pretrain"]["baseline_of"] == "posttrain"
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert "baseline" in page
    assert {path.name for path in folder.checkpoints.iterdir()} == {
        "pretrain-12", "posttrain-3", f"continued_pretrain-{baseline['steps']}",
    }  # fmt: skip


def test_responses_are_shown_to_the_same_problems_at_every_occasion(whole: tuple[dict[str, Any], RunFolder]) -> None:
    shown: dict[tuple[str, int, str], list[str]] = {}
    for row in whole[1].rows("rollouts.jsonl"):
        shown.setdefault((row["stage"], row["step"], row["mode"]), []).append(row["prompt"])
    assert {(stage, mode) for stage, _, mode in shown} >= {("pretrain", "greedy"), ("posttrain", "sampled")}
    assert len({tuple(prompts) for prompts in shown.values()}) == 1


def test_the_tracker_has_every_row(whole: tuple[dict[str, Any], RunFolder]) -> None:
    _, folder = whole
    assert trackers.is_whole(folder, "tensorboard")


def test_a_kill_in_any_stage_and_the_same_command_end_in_equal_records(
    whole: tuple[dict[str, Any], RunFolder], tmp_path: Path
) -> None:
    _, unharmed = whole
    for sign in ("pretrain-4", "posttrain-1", "continued_pretrain-"):
        process = Forked("run", "llm-tiny-trl", *SHRUNK, "track=tensorboard", "--out", tmp_path)
        folder = tmp_path / unharmed.path.name
        while process.poll() is None and not any(folder.glob(f"checkpoints/{sign}*")):
            time.sleep(0.01)
        process.kill()
        process.communicate()
    _, again = run(tmp_path, "track=tensorboard")
    for file in ("metrics.jsonl", "rollouts.jsonl"):
        assert again.rows(file) == unharmed.rows(file)
    assert trackers.is_whole(again, "tensorboard")


def test_how_it_is_measured_trains_nothing_again(whole: tuple[dict[str, Any], RunFolder]) -> None:
    summary, folder = whole
    ended = command(
        "run", "llm-tiny-trl", *SHRUNK, "evaluate.prompts=6", "task.test_size=12", "--out", folder.path.parent, "--json"
    )
    assert ended.status == 0, ended.err
    again = json.loads(ended.out.splitlines()[-1])
    assert again["run_id"] != summary["run_id"]
    assert ended.err.count("taken from") == 3
    assert "update " not in ended.err
    for stage in summary["stages"]:
        assert again[stage]["prompts"] == 6
        assert again[stage]["tokens"] == summary[stage]["tokens"]


def test_another_longest_response_leaves_fine_tuning_and_measures_it_again(
    whole: tuple[dict[str, Any], RunFolder],
) -> None:
    _, folder = whole
    ended = command(
        "run", "llm-tiny-trl", *SHRUNK, "task.max_tokens=9", "posttrain=null", "continued_pretrain=null",
        "--out", folder.path.parent, "--json",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    assert "fine-tuning: measured again" in ended.err
    (end,) = [row for row in RunFolder(folder.path.parent / json.loads(ended.out.splitlines()[-1])["run_id"]).rows()
              if row["kind"] == "evaluation" and row["final"]]  # fmt: skip
    assert max(int(length) for length in end["greedy"]["length_histogram"]) <= 9


REWARD = "def brief(verdict):\n    return verdict.answer_correct.float() / 2 + (verdict.length < 99).float() / 4\n"


def test_rl_starts_at_a_kept_step_with_a_reward_of_ones_own_on_a_scheduled_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_rewards.py").write_text(REWARD, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    summary, folder = run(
        tmp_path / "runs", "posttrain.start=pretrain@8", "pretrain.keep={every: 4}", "continued_pretrain=null",
        "posttrain.reward=own_rewards:brief", "pretrain.mixture={p_cot: [[0, 0], [.5, 1]]}", "pretrain.redraw=true",
    )  # fmt: skip
    kept = sorted(path.name for path in folder.checkpoints.glob("pretrain-*"))
    assert kept == ["pretrain-12", "pretrain-4", "pretrain-8"]
    assert summary["stages"]["posttrain"]["start_step"] == 8
    rows = updates(folder, "posttrain")
    assert any(row["reward_mean"] != row["accuracy"] for row in rows)
    # Bare answers come first, then worked solutions: the second half has more tokens.
    tokens = {row["step"]: row["tokens"] for row in updates(folder, "pretrain")}
    assert tokens[12] - tokens[6] > 1.1 * tokens[6]


def test_a_checkpoint_is_measured_sampled_and_exported(whole: tuple[dict[str, Any], RunFolder], tmp_path: Path) -> None:
    _, folder = whole
    ended = command("evaluate", folder.path, "max_steps=2", "--prompts", "6", "--pass-at-k", "2", "--json")
    assert ended.status == 0, ended.err
    table = json.loads(ended.out.splitlines()[-1])
    assert table["greedy"]["n"] == 6
    assert table["sampled"]["pass_at_k_n"] == 2
    ended = command("sample", folder.path, "Anna has 2 boxes. How many boxes are there?", "-n", "2")
    assert ended.status == 0, ended.err
    assert ended.out.count("Anna has 2 boxes.") == 2
    assert "ungraded" in ended.out or "unfinished" in ended.out
    ended = command("export", folder.path, tmp_path / "model")
    assert ended.status == 0, ended.err
    ended = command(
        "evaluate",
        tmp_path / "model",
        "train_size=60",
        "test_size=8",
        "--recipe",
        "llm-tiny-trl",
        "--prompts",
        "4",
        "--json",
    )
    assert ended.status == 0, ended.err
    assert json.loads(ended.out.splitlines()[-1])["greedy"]["n"] == 4


def test_a_sweep_shares_fine_tuning(tmp_path: Path) -> None:
    small = [*SHRUNK, "continued_pretrain=null"]
    ended = command("sweep", "llm-tiny-trl", "posttrain.lr=1e-4,2e-4", *small, "--out", tmp_path, "--workers", "1")
    assert ended.status == 0, ended.err
    assert len(list((tmp_path / "stages").glob("pretrain-*"))) == 1
    assert len(list((tmp_path / "stages").glob("posttrain-*"))) == 2


def test_the_python_door_opens_it(whole: tuple[dict[str, Any], RunFolder]) -> None:
    found = cl.open(whole[1].path)
    opened, task = found.model("pretrain"), found.task
    assert isinstance(opened, LanguageModel)
    assert isinstance(task, TextTask)
    model, tokenizer = opened
    ids = tokenizer("Anna has 2 boxes.", return_tensors="pt")["input_ids"]
    assert model(input_ids=ids).logits.shape == (1, ids.shape[1], len(tokenizer))
    assert len(task.problems[1]) == 16
    assert found.evaluate("test_size=8", at="pretrain")["greedy"]["n"] == 8
    (response,) = found.sample("Anna has 2 boxes. How many?", greedy=True)
    assert response["answer"] is None
    assert set(found.metrics("evaluation")["stage"]) == {"pretrain", "posttrain", "continued_pretrain"}


def test_a_folder_without_problems_asks_for_a_recipe(whole: tuple[dict[str, Any], RunFolder], tmp_path: Path) -> None:
    assert command("export", whole[1].path, tmp_path / "model").status == 0
    ended = command("evaluate", tmp_path / "model")
    assert ended.status == 2
    assert "--recipe" in ended.err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["posttrain.reward=steps"], "posttrain: reward 'steps' judges the steps of a chain"),
        (["compile=true"], "pretrain: compile works only in our own engine"),
        (["model.lora.rank=2", "pretrain.keep=all"], "pretrain: checkpoints inside a stage hold adapters alone"),
        (["model.lora.rank=2", "posttrain.start=pretrain@4"], "posttrain: checkpoints inside a stage hold adapters"),
        (["posttrain.kind=rl"], "posttrain.*unknown key|posttrain: kind 'rl' learns tasks of symbols"),
        (["pretrain.max_length=300"], "pretrain: max_length 300 is more than model.scratch.context 256"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_trained(
    typed: list[str], told: str, tmp_path: Path
) -> None:
    ended = command("run", "llm-tiny-trl", *SHRUNK, *typed, "--out", tmp_path)
    assert ended.status == 2
    assert re.search(told, ended.err), ended.err
    assert not list(tmp_path.iterdir())
