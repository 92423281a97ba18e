"""The commands as users and scripts see them: exit statuses, one line of error, JSON on the last line."""

import json
import os
from pathlib import Path

import pytest

from chainlift.stages import recipe as recipes
from tests.conftest import chainlift

COMMANDS = {
    "tasks",
    "recipes",
    "reproduce",
    "run",
    "sweep",
    "watch",
    "theory",
    "evaluate",
    "sample",
    "report",
    "export",
    "env",
    "bench",
}


def test_help_lists_the_commands_that_exist_and_no_other() -> None:
    told = chainlift("--help").stdout
    listed = {word for line in told.splitlines() for word in line.replace("│", " ").split()[:1]}
    assert listed >= COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_has_help(command: str) -> None:
    done = chainlift(command, "--help")
    assert done.returncode == 0
    assert "Usage: chainlift" in done.stdout


def test_recipes_are_listed_one_a_line() -> None:
    lines = chainlift("recipes").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(recipes.shipped())
    assert {"headline", "tiny", "modulus", "multiplication-2"} <= set(recipes.shipped())
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)


def test_env_as_json() -> None:
    found = json.loads(chainlift("env", "--json").stdout.splitlines()[-1])
    assert {"chainlift", "python", "device", "threads", "packages"} <= set(found)
    assert found["threads"] == 1


def test_a_dry_run_writes_nothing(recipe: Path, tmp_path: Path) -> None:
    done = chainlift("run", recipe, "posttrain.lr=1e-3", "--seeds", "0-1", "--out", tmp_path / "runs", "--dry-run")
    assert done.returncode == 0
    assert "lr: 0.001" in done.stdout
    assert "small-" in done.stdout
    assert "-s1" in done.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.smoke
def test_several_seeds_in_turn(recipe: Path, tmp_path: Path) -> None:
    done = chainlift(
        "run",
        recipe,
        "posttrain=null",
        "continued_pretrain=null",
        "--seeds",
        "3,5",
        "--out",
        tmp_path / "runs",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    summaries = [json.loads(line) for line in done.stdout.splitlines()]
    assert [summary["seed"] for summary in summaries] == [3, 5]
    assert "posttrain" not in summaries[0]
    assert summaries[0]["pretrain"]["greedy_accuracy"] != summaries[1]["pretrain"]["greedy_accuracy"]


def test_evaluate_a_run_and_a_checkpoint(finished: Path) -> None:
    whole = json.loads(chainlift("evaluate", finished, "--prompts", "100", "--json").stdout.splitlines()[-1])
    assert whole["greedy"]["n"] == 100
    assert "posttrain-20" in whole["checkpoint"]
    first = chainlift("evaluate", finished / "checkpoints/pretrain-40", "--prompts", "100", "--json")
    before = json.loads(first.stdout.splitlines()[-1])
    assert "pretrain-40" in before["checkpoint"]
    assert before["sampled"] != whole["sampled"]
    assert "accuracy" in chainlift("evaluate", finished, "--prompts", "100").stdout


def test_sample_shows_tokens_and_probabilities(finished: Path) -> None:
    found = json.loads(chainlift("sample", finished, "0110", "-n", "3", "--json").stdout.splitlines()[-1])
    assert len(found) == 3
    assert all(record["prompt"] == "0110" for record in found)
    assert all(len(record["response"]) == len(record["probabilities"]) for record in found)
    assert "length" in chainlift("sample", finished, "--greedy").stdout


def test_export_opens_in_transformers(finished: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert chainlift("export", finished, tmp_path / "model").returncode == 0
    AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert AutoTokenizer.from_pretrained(tmp_path / "model")("01")["input_ids"] == [0, 1]
    assert not list((tmp_path / "model").glob("trainer_state*"))
    again = chainlift("export", finished, tmp_path / "model")
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)


def test_json_is_the_last_line_and_the_rest_is_elsewhere(finished: Path) -> None:
    done = chainlift("run", finished.parent.parent / "small.yaml", "--out", finished.parent, "--json")
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["run_id"] == finished.name


def test_progress_is_plain_lines_without_a_terminal(finished: Path, recipe: Path, tmp_path: Path) -> None:
    done = chainlift("run", recipe, "posttrain=null", "continued_pretrain=null", "--out", tmp_path / "runs")
    assert done.returncode == 0
    assert "next-token prediction: 40 updates" in done.stderr
    assert "\x1b" not in done.stderr
    assert os.linesep in done.stdout


def test_without_a_command_the_help_is_shown() -> None:
    done = chainlift()
    assert done.returncode == 2
    assert "reproduce" in done.stdout
    assert done.stderr == ""


@pytest.fixture(scope="session")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on prompts of 3 to 6 digits, hardly trained."""
    out = tmp_path_factory.mktemp("ragged")
    settings = ["task.d=6", "task.d_min=3", "model.family=mistral", "pretrain.steps=5"]
    settings += ["posttrain=null", "continued_pretrain=null"]
    done = chainlift("run", "tiny", *settings, "evaluate.prompts=64", "--json", "--out", out)
    assert done.returncode == 0, done.stderr
    return out / json.loads(done.stdout.splitlines()[-1])["run_id"]


def test_prompts_of_different_lengths_are_measured_one_by_one(ragged: Path) -> None:
    found = json.loads(chainlift("evaluate", ragged, "--prompts", "200", "--json").stdout.splitlines()[-1])
    for mode in ("greedy", "sampled"):
        own = found[mode]["by_prompt_length"]
        assert list(own) == ["3", "4", "5", "6"]
        assert sum(one["n"] for one in own.values()) == 200
        right = sum(one["n"] * one["accuracy"] for one in own.values())
        assert right / 200 == pytest.approx(found[mode]["accuracy"])
    assert "accuracy at length 5" in chainlift("evaluate", ragged, "--prompts", "200").stdout


def test_longer_prompts_than_were_trained_on(ragged: Path, finished: Path) -> None:
    done = chainlift("evaluate", ragged, "d=9", "d_min=9", "--prompts", "64", "--json")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["greedy"]["n"] == 64
    assert "by_prompt_length" not in found["greedy"]
    for target, change, told in (
        (ragged, "modulus=3", "modulus=3: the model knows 4 tokens, and not those of this task"),
        (ragged, "dd=3", "task.dd: unknown key, did you mean 'd'"),
        (ragged, "d", "task.d' is not an override; write key=value"),
        (finished, "d=400", "positions, and this model has learned"),
    ):
        refused = chainlift("evaluate", target, change)
        assert refused.returncode == 2
        assert told in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1


def test_a_shorter_prompt_is_filled_up(ragged: Path) -> None:
    shown = json.loads(chainlift("sample", ragged, "0110", "--greedy", "--json").stdout.splitlines()[-1])
    assert shown[0]["prompt"] == "__0110"
    assert chainlift("sample", ragged, "0110101", "--greedy").returncode == 2
