"""Commands and the Python door on a run of text by our own engine, and on its exported folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import chainlift as cl
from chainlift.models.model import Model
from chainlift.text.task import TextTask
from tests.in_process import command
from tests.stages.text.small_engine_text import table, written

QUESTION = "Anna has 2 boxes. How many boxes are there?"


@pytest.fixture(scope="module")
def exported(whole: tuple[dict[str, Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("exported") / "model"
    assert command("export", whole[1].path, target).status == 0
    return target


def test_a_run_is_measured_on_either_split_and_with_other_problems(folder: Path) -> None:
    test = table("evaluate", folder, "--prompts", "99", "--pass-at-k", "4")
    assert (test["greedy"]["n"], test["sampled"]["pass_at_k_n"], test["prompts_held_out"]) == (16, 4, True)
    assert set(test["sampled"]["pass_at_k"]) == {"1", "2", "4"}
    assert table("evaluate", folder, "--prompts", "99", "--split", "train")["greedy"]["n"] == 60
    longer = table("evaluate", folder, "max_steps=3", "max_tokens=80", "--prompts", "8")
    assert longer["greedy"]["length_mean"] > 50


def test_responses_may_be_shorter_than_any_solution(folder: Path) -> None:
    shorter = table("evaluate", folder, "max_tokens=12", "--prompts", "8")
    assert max(map(int, shorter["greedy"]["length_histogram"])) == 12
    assert shorter["forced_long"]["long_share"] == 1.0
    ended = command("evaluate", folder, "max_tokens=12", "--split", "train")
    assert ended.status == 2
    assert "none of 60 training problems has a solution that short" in ended.err


def test_a_folder_is_measured_by_its_own_task_or_by_a_recipe_with_sizes(folder: Path, exported: Path) -> None:
    by_itself = table("evaluate", exported, "--prompts", "8")
    by_recipe = table("evaluate", exported, "--recipe", written(exported.parent), "--prompts", "8")
    assert by_itself["greedy"] == by_recipe["greedy"]
    assert by_itself["sampled"] == by_recipe["sampled"] == table("evaluate", folder, "--prompts", "8")["sampled"]
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert "`chainlift evaluate .` measures it" in card


def test_responses_to_a_random_problem_and_to_a_typed_question(folder: Path) -> None:
    random = command("sample", folder, "-n", "2")
    assert (random.status, random.out.count("Question: ")) == (0, 2)
    typed = command("sample", folder, QUESTION, "--greedy")
    assert (typed.status, typed.out.count("Anna has 2 boxes.")) == (0, 1)
    assert "ungraded" in typed.out or "unfinished" in typed.out
    assert command("sample", folder, "").err == "error: the question is empty\n"


def test_the_python_door_opens_it(folder: Path) -> None:
    run = cl.open(folder)
    model, task = run.model("pretrain@2"), run.task
    assert isinstance(model, Model)
    assert isinstance(task, TextTask)
    assert len(task.problems[1]) == 16
    assert run.checkpoints[:2] == ["pretrain@2", "pretrain@4"]
    assert run.evaluate("test_size=8", at="pretrain")["greedy"]["n"] == 8
    (response,) = run.sample(QUESTION, greedy=True)
    assert response["answer"] is response["expected"] is None
    assert set(run.metrics("evaluation")["stage"]) == {"pretrain", "posttrain", "continued_pretrain"}


def test_plan_problems_and_data_set(tmp_path: Path) -> None:
    recipe = written(tmp_path)
    plan = command("run", recipe, "--dry-run", "--out", tmp_path)
    assert plan.status == 0, plan.err
    assert "parameters" in plan.out
    assert "time here" in plan.out
    assert "Let us see." in command("tasks", "--show", recipe).out
    assert command("dataset", recipe, tmp_path / "data").status == 0
    assert {path.name for path in (tmp_path / "data").iterdir()} >= {"demonstrations.parquet", "reward.py"}


def test_a_sweep_shares_fine_tuning(tmp_path: Path) -> None:
    small = ("continued_pretrain=null", "pretrain.steps=1", "posttrain.steps=1", "evaluate.prompts=2")
    ended = command("sweep", written(tmp_path), "posttrain.lr=1e-4,2e-4", *small, "--out", tmp_path, "--workers", "1")
    assert ended.status == 0, ended.err
    assert len(list((tmp_path / "stages").glob("pretrain-*"))) == 1
    assert len(list((tmp_path / "stages").glob("posttrain-*"))) == 2


def test_the_exported_model_answers_in_transformers_as_here(folder: Path, exported: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs: Any = AutoModelForCausalLM.from_pretrained(exported)
    tokenizer: Any = AutoTokenizer.from_pretrained(exported)
    tokenizer.padding_side = "left"
    rows = [json.loads(line) for line in (folder / "rollouts.jsonl").read_text(encoding="utf-8").splitlines()]
    greedy = [row for row in rows if (row["stage"], row["mode"], row["step"]) == ("posttrain", "greedy", 3)]
    assert len({len(tokenizer(row["prompt"])["input_ids"]) for row in greedy}) > 1
    inputs = tokenizer([row["prompt"] for row in greedy], return_tensors="pt", padding=True)
    with torch.no_grad():
        outputs = theirs.eval().generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=50, do_sample=False
        )
    for row, output in zip(greedy, outputs[:, inputs["input_ids"].shape[1] :], strict=True):
        assert [tokenizer.decode([token]) for token in output.tolist()][: len(row["response"])] == row["response"]
