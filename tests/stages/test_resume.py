"""A run that is killed and goes on writes the same bytes as one that never stopped."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import chainlift
from tests.forked import Forked

COMPARED = (
    "metrics.jsonl",
    "rollouts.jsonl",
    "checkpoints/*/model.safetensors",
    "checkpoints/*/optimizer.safetensors",
)
VARIANTS = {
    "grpo": [],
    "star": ["posttrain.algorithm=star", "posttrain.restart=true", "pretrain.optimizer=muon"],
    "off policy": [
        "posttrain.steps_per_round=4",
        "posttrain.minibatches=2",
        "posttrain.kl=0.05",
        "pretrain.optimizer=muon",
        "posttrain.optimizer=muon",
        "pretrain.average_tail=0.5",
    ],
    "dynamic sampling": ["posttrain.algorithm=dapo", "posttrain.dynamic_sampling=true"],
    "ppo": ["stages.posttrain={kind: ppo, prompts: 32, steps: 20, checkpoint_every: 3}"],
    "dpo": ["stages.posttrain={kind: dpo, prompts: 8, group_size: 4, steps: 20, checkpoint_every: 3}"],
    "linear": [  # its updates are so quick that fewer would be over before the kill
        "model={family: linear}",
        "pretrain.optimizer=sgd",
        "pretrain.average_tail=0.9",
        "pretrain.steps=150",
        "posttrain.optimizer=sgd",
        "posttrain.algorithm=star",
        "posttrain.steps=120",
    ],
}


MOMENTS = [("pretrain", 2), ("pretrain", 17), ("posttrain", 1), ("posttrain", 10), ("continued_pretrain", 9)]
"""Of the kills; other variants than the first are killed at every second one."""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for pattern in COMPARED for file in folder.glob(pattern)}


def wait_for(out: Path, stage: str, step: int, process: Forked) -> None:
    """Until some metrics.jsonl shows an update of the stage at or beyond `step`, past a checkpoint of that stage."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the run ended before it could be killed in {stage}"
        for file in out.glob("*/metrics.jsonl"):
            lines = file.read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines[:-1]]
            if any(row["stage"] == stage and row["kind"] == "update" and row["step"] >= step for row in rows):
                return
        time.sleep(0.002)
    raise AssertionError(f"{stage} never reached update {step}")


def run_folder(out: Path) -> Path:
    return next(path for path in out.iterdir() if path.name.startswith("small-"))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_sigkill_in_every_stage(variant: str, recipe: Path, tmp_path: Path) -> None:
    overrides = VARIANTS[variant]
    whole = chainlift("run", recipe, *overrides, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "killed"
    for stage, step in MOMENTS if variant == "grpo" else MOMENTS[1::2]:
        process = Forked("run", recipe, *overrides, "--out", out)
        wait_for(out, stage, step, process)
        process.kill()
        process.communicate()
    assert not (run_folder(out) / "DONE").exists()
    assert chainlift("run", recipe, *overrides, "--out", out).returncode == 0
    expected, found = contents(run_folder(tmp_path / "whole")), contents(run_folder(out))
    assert set(found) == set(expected)
    assert len(expected) == 2 + 2 * 3
    different = [name for name in expected if expected[name] != found[name]]
    assert not different


@pytest.mark.slow
@pytest.mark.smoke
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(recipe: Path, tmp_path: Path) -> None:
    whole = chainlift("run", recipe, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "stopped"
    for stage, step in (("pretrain", 9), ("posttrain", 4)):
        process = Forked("run", recipe, "--out", out)
        wait_for(out, stage, step, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == 130
        assert stderr.splitlines()[-1] == "stopped; the same command goes on from the last checkpoint"
    assert chainlift("run", recipe, "--out", out).returncode == 0
    assert contents(run_folder(out)) == contents(run_folder(tmp_path / "whole"))
