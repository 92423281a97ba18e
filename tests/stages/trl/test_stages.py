"""Fine-tuning, RL by each algorithm and measuring through the real TRL: a tiny Llama from scratch, no network."""

import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from chainlift.models.pretrained import loading
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.report.figures.run_pictures import SIGNAL_KEYS
from chainlift.runs.store import RunFolder
from chainlift.stages.trl import recorder
from chainlift.stages.trl.context import TextContext
from tests.kills.processes import in_a_process
from tests.stages.trl.small_text import all_right, context, run, small


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo", "dapo", "rloo", "star"])
def test_every_algorithm_goes_from_data_to_summary(tmp_path: Path, algorithm: str) -> None:
    folder, summary = run(tmp_path, f"posttrain.algorithm={algorithm}", "posttrain.steps_per_round=2")
    assert folder.done
    assert summary["posttrain"]["algorithm"] == algorithm
    assert summary["posttrain"]["steps"] == 4
    for stage in ("pretrain", "posttrain"):
        for key in ("greedy_accuracy", "greedy_length_median", "sampled_accuracy", "sampled_long_share"):
            assert isinstance(summary[stage][key], float)
        low, high = summary[stage]["greedy_accuracy_ci95"]
        assert 0 <= low <= summary[stage]["greedy_accuracy"] <= high <= 1
    rows = folder.rows()
    updates = [row for row in rows if row["stage"] == "posttrain" and row["kind"] == "update"]
    assert [row["step"] for row in updates] == [1, 2, 3, 4]
    assert all({*SIGNAL_KEYS, "unfinished_share"} <= set(row) for row in updates)
    assert all(
        sum(row[f"groups_{kind}"] for kind in ("all_right", "all_wrong", "mixed")) == pytest.approx(1)
        for row in updates
    )
    assert [row["step"] for row in rows if row["stage"] == "pretrain" and row["kind"] == "evaluation"] == [0, 3, 6]
    # Every second round: of STaR, which makes two updates of each, there is no third one.
    measured = [row["step"] for row in rows if row["stage"] == "posttrain" and row["kind"] == "evaluation"]
    assert measured == ([0, 4] if algorithm == "star" else [0, 2, 4])
    (preflight,) = [row for row in rows if row["kind"] == "preflight"]
    assert (preflight["prompts"], preflight["samples"]) == (16, 64)
    assert preflight["warnings"]  # after six updates no sample is right
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == ["posttrain-4", "pretrain-6"]


@pytest.mark.slow
@pytest.mark.smoke
def test_adapters_are_trained_and_put_into_the_weights(tmp_path: Path) -> None:
    folder, summary = run(tmp_path, "model.lora.rank=2", "posttrain.steps=2")
    assert summary["posttrain"]["steps"] == 2
    for name in ("pretrain-6", "posttrain-2"):
        files = {path.name for path in (folder.checkpoints / name).iterdir()}
        assert "model.safetensors" in files
        assert not [file for file in files if file.startswith("adapter")]
    before = context(tmp_path, small("model.lora.rank=2")).new_model().model.state_dict()
    after = loading.open_folder(str(folder.checkpoints / "pretrain-6"))[0].state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert all("_proj" in name for name in moved)


@pytest.mark.slow
def test_star_from_the_start_each_round_differs_from_going_on(tmp_path: Path) -> None:
    # Any completion is right here: so something is kept, and the second round's fit depends on where it begins.
    shown: dict[bool, list[float]] = {}
    for restart in (False, True):
        chosen = (f"posttrain.restart={restart}", "posttrain.algorithm=star", "posttrain.steps_per_round=2")
        with pytest.MonkeyPatch.context() as patch:
            all_right(patch)
            folder, _ = run(tmp_path, *chosen)
        rows = [row for row in folder.rows() if row["stage"] == "posttrain" and row["kind"] == "update"]
        assert [row["round"] for row in rows] == [1, 1, 2, 2]
        shown[restart] = [row["loss"] for row in rows]
    assert shown[False][:2] == shown[True][:2]
    assert shown[False][2:] != shown[True][2:]


@pytest.mark.slow
def test_runs_that_agree_on_fine_tuning_share_it(tmp_path: Path) -> None:
    first, _ = run(tmp_path)
    second, _ = run(tmp_path, "posttrain.lr=1e-3")
    assert len(list(tmp_path.glob("stages/pretrain-*"))) == 1
    assert len(list(tmp_path.glob("stages/posttrain-*"))) == 2
    tuned = [[row for row in one.rows() if row["stage"] == "pretrain"] for one in (first, second)]
    assert tuned[0] == tuned[1]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["grpo", "star"])
def test_the_fine_tuned_model_is_gone_when_rl_opens_its_own(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[weakref.ref[Any]] = []
    alive: list[int] = []
    new_model, open_folder = TextContext.new_model, loading.open_folder

    def new(self: TextContext) -> LanguageModel:
        found = new_model(self)
        opened.append(weakref.ref(found.model))
        return found

    def at(*given: Any, **more: Any) -> LanguageModel:
        alive.append(sum(ref() is not None for ref in opened))
        return open_folder(*given, **more)

    monkeypatch.setattr(TextContext, "new_model", new)
    monkeypatch.setattr(loading, "open_folder", at)
    run(tmp_path, f"posttrain.algorithm={algorithm}", "pretrain.steps=1", "posttrain.steps=1")
    assert len(opened) == 1
    assert alive == [0]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The folder of a run that nothing has interrupted."""
    return run(tmp_path_factory.mktemp("calm"))[0]


def run_until(stage: str, step: int, out: Path) -> None:
    """Run in this process, which SIGKILL ends before the record of an update."""
    real = recorder.Recorder.on_log

    def on_log(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        if self.state.stage == stage and state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, args, state, control, logs=logs, **more)

    recorder.Recorder.on_log = on_log  # pyright: ignore[reportAttributeAccessIssue]
    run(out)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "step"), [("pretrain", 5), ("posttrain", 3)])
def test_a_killed_run_goes_on_and_ends_with_the_same_rows(
    calm: RunFolder, tmp_path: Path, stage: str, step: int
) -> None:
    assert in_a_process(lambda: run_until(stage, step, tmp_path)) == -signal.SIGKILL
    if stage == "pretrain":
        code = (
            "import sys; from pathlib import Path; from tests.stages.trl.small_text import run; run(Path(sys.argv[1]))"
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])}
        command = [sys.executable, "-c", code, str(tmp_path)]
        again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        lines = again.stderr.splitlines()
        assert not [line for line in lines if "Warning" in line or "%|" in line]  # libraries are quiet
    else:
        run(tmp_path)
    killed = RunFolder(tmp_path / calm.path.name)
    assert killed.rows() == calm.rows()
    assert killed.rows("rollouts.jsonl") == calm.rows("rollouts.jsonl")
