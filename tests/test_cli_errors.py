"""What is wrong is told in one line that names it: bad recipes, commands, folders, full disks; nothing is lost."""

import shutil
import subprocess
from pathlib import Path

import pytest

from chainlift import cli
from tests.conftest import COMMAND, chainlift
from tests.in_process import command

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
    "posttrain.algorithm=ppo": "known: cispo",
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
        (["run", "nowhere.yaml"], "nowhere.yaml is missing"),
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
    for prompt, told in (("01", "has 2 tokens"), ("01x1", "'x' is not a token")):
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
    (tmp_path / "file").write_text("", encoding="utf-8")
    for out in (tmp_path / "file", Path("/proc/nowhere")):
        done = chainlift("run", recipe, "--out", out)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "cannot write into" in done.stderr


def test_the_folder_of_another_recipe_is_left_alone(finished: Path, recipe: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "runs" / finished.name)
    (copy / ".identity").write_text("deadbeef", encoding="utf-8")
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


def test_ctrl_c_between_steps_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(**options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", app)
    assert command("recipes") == (130, "", "interrupted; the same command goes on from the last checkpoint\n")
