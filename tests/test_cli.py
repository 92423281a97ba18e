"""The commands as users and scripts see them: exit statuses, one line of error, JSON on the last line."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from chainlift import recipe as recipes
from tests.conftest import COMMAND, chainlift

COMMANDS = {"recipes", "reproduce", "run", "sweep", "watch", "theory", "evaluate", "sample", "report", "export", "env"}


def test_help_lists_the_commands_that_exist_and_no_other() -> None:
    told = chainlift("--help").stdout
    listed = {word for line in told.splitlines() for word in line.replace("│", " ").split()[:1]}
    assert listed >= COMMANDS
    assert not listed & {"llm", "bench"}


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


BAD_RECIPES = {
    "pretrain.stepz=3": "pretrain.stepz: unknown key, did you mean 'steps'?",
    "posttrain.algoritm=star": "did you mean 'algorithm'?",
    "nonsense=1": "nonsense: unknown key",
    "pretrain.steps=many": "pretrain.steps",
    "pretrain.steps=0.5": "pretrain.steps",
    "mixture.p_cot=1.5": "mixture.p_cot",
    "mixture.p_cot=-0.1": "mixture.p_cot",
    "task.d=0": "task.d",
    "task.name=riddle": "running_sum",
    "model.width=15": "width 15 must be",
    "posttrain.algorithm=ppo": "known: star",
    "posttrain.group_size=1": "group_size must be at least 2",
    "posttrain.temperature=0": "posttrain.temperature",
    "posttrain": "write key=value",
    "pretrain.steps.more=1": "has no keys",
    "device=tpu": "device",
}


@pytest.mark.parametrize("override", BAD_RECIPES)
def test_bad_input_is_one_line_and_status_2(override: str, recipe: Path, tmp_path: Path) -> None:
    done = chainlift("run", recipe, override, "--out", tmp_path / "runs")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert BAD_RECIPES[override] in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "headlin"], "did you mean 'headline'?"),
        (["run", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["run", "tiny", "--seeds", "4-0"], "--seeds"),
        (["evaluate", "/nowhere"], "/nowhere does not exist"),
        (["evaluate", "/tmp"], "neither a checkpoint nor a run folder"),
        (["report", "/tmp"], "not a run folder"),
    ],
)
def test_what_is_missing_is_named(arguments: list[str], told: str) -> None:
    done = chainlift(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert told in done.stderr


def test_a_prompt_that_does_not_fit_is_refused(finished: Path) -> None:
    for prompt, told in (("01", "has 2 tokens"), ("01x1", "'x' is no token")):
        done = chainlift("sample", finished, prompt)
        assert done.returncode == 2
        assert told in done.stderr


def test_a_damaged_checkpoint_is_named(finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    weights = copy / "checkpoints/posttrain-20/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    done = chainlift("evaluate", copy)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "model.safetensors is damaged" in done.stderr


def test_an_output_folder_that_cannot_be_written(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", Path("/proc/nowhere")):
        done = chainlift("run", recipe, "--out", out)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "cannot write into" in done.stderr


def test_the_folder_of_another_recipe_is_left_alone(finished: Path, recipe: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "runs" / finished.name)
    (copy / ".identity").write_text("deadbeef")
    before = (copy / "metrics.jsonl").read_bytes()
    done = chainlift("run", recipe, "--out", tmp_path / "runs")
    assert done.returncode == 2
    assert "is the run of another recipe" in done.stderr
    assert (copy / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_divergence_is_a_failure_while_running(recipe: Path, tmp_path: Path) -> None:
    done = chainlift("run", recipe, "pretrain.lr=1e30", "--out", tmp_path / "runs")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: training diverged")


@pytest.mark.slow
@pytest.mark.parametrize("size", [120, 220, 260])
def test_a_disk_that_runs_full_loses_nothing(recipe: Path, tmp_path: Path, size: int) -> None:
    """Full at several places: while stage 1 keeps a checkpoint, while it is copied into the run, and later."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small file system here")
    try:
        done = chainlift("run", recipe, "--out", disk)
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        assert "make room" in done.stderr.splitlines()[-1]
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        done = chainlift("run", recipe, "--out", disk)
        assert done.returncode == 0, done.stderr
        whole = chainlift("run", recipe, "--out", tmp_path / "whole")
        assert whole.returncode == 0
        for file in (tmp_path / "whole").glob("small-*/metrics.jsonl"):
            assert (disk / file.parent.name / file.name).read_bytes() == file.read_bytes()
    finally:
        subprocess.run(["umount", disk], check=True)


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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["theory", "--modulus", "2.5"], "--modulus"),
        (["theory", "--nope"], "No such option"),
        (["nope"], "No such command"),
        (["run"], "RECIPE"),
        (["evaluate", "x", "--prompts", "0"], "--prompts"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_one_line_too(arguments: list[str], told: str) -> None:
    done = chainlift(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert told in line
    assert "--help" in line


def test_without_a_command_the_help_is_shown() -> None:
    done = chainlift()
    assert done.returncode == 2
    assert "reproduce" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_a_disk_that_refuses_is_one_line_and_the_same_command_goes_on(recipe: Path, tmp_path: Path) -> None:
    """Files may not grow beyond 8 KiB, as on a disk that is full: weights do not fit, the record does."""
    chosen = [str(recipe), "posttrain=null", "continued_pretrain=null", "--out", str(tmp_path / "runs")]
    limited = f'ulimit -f 8; exec "{COMMAND}" run "$@"'
    done = subprocess.run(["bash", "-c", limited, "run", *chosen], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert "safetensors: File too large; make room, then the same command goes on" in line
    assert chainlift("run", *chosen).returncode == 0


@pytest.fixture(scope="session")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on prompts of 3 to 6 digits, hardly trained."""
    out = tmp_path_factory.mktemp("ragged")
    settings = ["task.d=6", "task.d_min=3", "posttrain=null", "continued_pretrain=null", "pretrain.steps=5"]
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
        (ragged, "d", "task.d' is no override; write key=value"),
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
