"""Models and data go to TRL and verl as they are, and models come back."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from chainlift.interop import dataset
from chainlift.stages import recipe as recipes
from chainlift.tasks.multiplication import Multiplication, MultiplicationSettings
from tests.conftest import chainlift


def load_reward(folder: Path) -> Any:
    """The module reward.py of a data set, as verl loads it."""
    spec = importlib.util.spec_from_file_location("reward", folder / "reward.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    from datasets import load_dataset

    found: Any = load_dataset("parquet", data_files=str(folder / f"{split}.parquet"), split="train")
    return list(found)


def head(card: Path) -> dict[str, Any]:
    """What the hub reads of a card."""
    text = card.read_text(encoding="utf-8")
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


@pytest.fixture(scope="module")
def written(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    done = chainlift("dataset", recipe_file, folder, "mixture.p_cot=.3", "--size", "400", "--test-size", "50")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def recipe_file(finished: Path) -> Path:
    return finished.parent.parent / "small.yaml"


def test_a_task_as_a_data_set(written: Path) -> None:
    demonstrations, train, test = (rows(written, split) for split in ("demonstrations", "train", "test"))
    assert [len(split) for split in (demonstrations, train, test)] == [400, 400, 50]
    long = [row["is_long"] for row in demonstrations]
    assert abs(sum(long) / 400 - 0.3) < 0.1  # 4.4 standard deviations
    assert 0 < sum(long[:200]) < sum(long)  # not sorted by form
    assert {len(row["completion"]) for row in demonstrations} == {1, 4}
    module = load_reward(written)
    assert (
        module.reward([row["prompt"] for row in demonstrations], [row["completion"] for row in demonstrations])
        == [1.0] * 400
    )
    for row in test:
        wrong = "1" if row["answer"] == "0" else "0"
        told = (row["data_source"], row["reward_model"]["ground_truth"], row["extra_info"])
        assert module.compute_score(told[0], row["answer"], told[1], told[2]) == 1
        assert module.compute_score(told[0], wrong, told[1], told[2]) == 0
        assert row["chat"] == [{"role": "user", "content": row["prompt"]}]
    configs = head(written / "README.md")["configs"]
    for config in configs:
        files = config["data_files"]
        for file in [files] if isinstance(files, str) else [one["path"] for one in files]:
            assert (written / file).is_file()
    share = sum(long) / 400
    assert f"400 rows `prompt`, `completion`, `is_long`; {share:.2%} are long" in (written / "README.md").read_text(
        encoding="utf-8"
    )


def test_test_prompts_are_those_that_training_never_draws() -> None:
    data = dataset.from_recipe(recipes.load("multiplication-2"), 40, 30)
    settings = MultiplicationSettings()
    task = Multiplication(settings)

    def is_held_out(prompt: Any) -> bool:
        first, _, second = prompt.replace(" ", "").partition("*")
        return bool(task.is_held_out(torch.tensor([[int(first[::-1]), int(second[::-1])]])))

    held_out = {split: {is_held_out(prompt) for prompt, _ in pairs} for split, pairs in data.problems.items()}
    assert held_out == {"train": {False}, "test": {True}}
    assert [len(data.problems[split]) for split in ("train", "test")] == [40, 30]


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_problems_as_a_data_set(template: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    sizes = ("--size", "300", "--test-size", "20")
    done = chainlift(
        "dataset", "llm-tiny-trl", folder, f"task.template.template={template}", "task.template.marker=none", *sizes
    )
    assert done.returncode == 0, done.stderr
    demonstrations, train, test = (rows(folder, split) for split in ("demonstrations", "train", "test"))
    assert [len(split) for split in (demonstrations, train, test)] == [300, 300, 20]
    assert isinstance(train[0]["prompt"], str if template == "plain" else list)
    module = load_reward(folder)
    found = module.reward(
        [row["prompt"] for row in demonstrations],
        [row["completion"] for row in demonstrations],
        answer=[row["answer"] for row in train],
    )
    assert found == [1.0] * 300
    row = test[0]
    assert module.compute_score(row["data_source"], f"so it is {row['answer']}", row["answer"]) == 1
    assert module.compute_score(row["data_source"], f"#### {row['answer']}1", row["answer"]) == 0
    assert row["chat"][-1]["role"] == "user"


def test_folders_that_are_not_empty_are_left_alone(tmp_path: Path, finished: Path) -> None:
    (tmp_path / "note").write_text("mine", encoding="utf-8")
    for arguments in (["dataset", "tiny", tmp_path], ["export", finished, tmp_path]):
        done = chainlift(*arguments)
        assert done.returncode == 2
        assert done.stderr.strip().endswith(f"{tmp_path} exists and is not empty; name a new folder")
    assert [file.name for file in tmp_path.iterdir()] == ["note"]


def test_a_damaged_recipe_is_told_in_one_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for damage in ("a: [", "- 1"):
        (run / "recipe.yaml").write_text(damage, encoding="utf-8")
        (run / "config.json").write_text("{}", encoding="utf-8")
        for arguments in (
            ["evaluate", run],
            ["export", run, tmp_path / "x"],
            ["sample", run],
            ["report", run],
        ):
            done = chainlift(*arguments)
            assert done.returncode == 2
            assert f"{run / 'recipe.yaml'} is damaged" in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1


def test_an_exported_model_has_a_card_with_what_was_measured(finished: Path, tmp_path: Path) -> None:
    done = chainlift("export", finished, tmp_path / "model")
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    for stage in ("pretrain", "posttrain"):
        low, high = summary[stage]["greedy_accuracy_ci95"]
        assert f"{summary[stage]['greedy_accuracy']:.3f} [{low:.3f}, {high:.3f}]" in card
    assert head(tmp_path / "model" / "README.md")["library_name"] == "transformers"
    assert not list((tmp_path / "model").glob("state.json"))


@pytest.mark.slow
@pytest.mark.smoke
def test_a_small_model_goes_to_trl_and_back(finished: Path, written: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    assert chainlift("export", finished, tmp_path / "model").returncode == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    shared: dict[str, Any] = {"report_to": "none", "use_cpu": True, "bf16": False, "per_device_train_batch_size": 8}
    tuner = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
        args=SFTConfig(str(tmp_path / "sft"), max_steps=3, learning_rate=1e-3, **shared),
        train_dataset=Dataset.from_list(rows(written, "demonstrations")),
        processing_class=tokenizer,
    )
    tuner.train()
    tuner.save_model(str(tmp_path / "tuned"))
    # What TRL learned from is what our own engine learns from: the tokens of the task, the response's ended by EOS.
    learned: Any = tuner.train_dataset
    example = learned[0]
    ids, eos = example["input_ids"], tokenizer.eos_token_id
    assert ids[-1] == eos
    assert eos not in ids[:-1]
    assert len(ids) in (4 + 1 + 1, 4 + 4 + 1)

    module = load_reward(written)
    teacher = GRPOTrainer(
        model=str(tmp_path / "tuned"),
        reward_funcs=module.reward,
        args=GRPOConfig(
            str(tmp_path / "grpo"), max_steps=2, num_generations=4, max_completion_length=5, beta=0.0, **shared
        ),
        train_dataset=Dataset.from_list(rows(written, "train")),
        processing_class=tokenizer,
    )
    teacher.train()
    rewards = [row["reward"] for row in teacher.state.log_history if "reward" in row]
    assert rewards
    assert all(0 <= one <= 1 for one in rewards)
    teacher.save_model(str(tmp_path / "taught"))

    for folder in ("tuned", "taught"):
        done = chainlift("evaluate", tmp_path / folder, "--prompts", "64", "--json")
        assert done.returncode == 0, done.stderr
        table = json.loads(done.stdout.splitlines()[-1])
        assert 0 <= table["greedy"]["accuracy"] <= 1
        assert table["greedy"]["unfinished_share"] < 1
    assert (tmp_path / "tuned" / "model.safetensors").read_bytes() != (
        tmp_path / "model" / "model.safetensors"
    ).read_bytes()
