"""What identifies the stages of a language model: what decides their weights, and nothing that only measures."""

import json
import shutil
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from chainlift.settings import ONLY_MEASURES
from chainlift.stages import recipe as recipes
from chainlift.tasks.registry import TASKS
from chainlift.text.problem import Problem, Splits
from chainlift.text.task import TextTask, TextTaskSettings
from tests.stages.trl.small_text import small

PROBLEMS = [Problem(f"{i}?", "s", "1") for i in range(100)]


class SplitSettings(TextTaskSettings):
    name: Literal["split"] = "split"
    test_size: int = 10
    """Decides what is left for training, too."""
    shown: int = Field(default=1, json_schema_extra=ONLY_MEASURES)


class Split(TextTask):
    """A source that cuts one list in two."""

    Settings = SplitSettings

    def load(self) -> Splits:
        return PROBLEMS[self.settings.test_size :], PROBLEMS[: self.settings.test_size]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS, "_pieces", dict(TASKS._pieces))
    TASKS.register("split", Split)


def digests(*overrides: str) -> dict[str, str]:
    recipe = recipes.load("llm-tiny-trl", list(overrides))
    return {name: recipe.stage_digest(name) for name in recipe.stages}


def test_a_size_of_an_own_source_counts_unless_it_says_that_it_only_measures(own: None) -> None:
    before = digests("task={name: split}")
    assert digests("task={name: split, shown: 2}") == before
    assert not set(digests("task={name: split, test_size: 60}").values()) & set(before.values())
    assert digests("task={name: split, test_limit: 3}") == before


@pytest.mark.parametrize(
    ("override", "equal"),
    [
        ("task.test_size=30", {"pretrain", "posttrain", "continued_pretrain"}),
        ("task.max_tokens=40", {"pretrain"}),
        ("model.sampling_rows=8", {"pretrain", "posttrain", "continued_pretrain"}),
        ("model.sampling_gib=2", {"pretrain"}),
        ("task.train_size=300", set()),
        ("task.template.marker=none", set()),
    ],
)
def test_keys_that_only_measure(override: str, equal: set[str]) -> None:
    before, after = digests(), digests(override)
    assert {name for name in before if before[name] == after[name]} == equal


def test_rows_sampled_at_once_decide_what_star_samples() -> None:
    star = ["posttrain.algorithm=star", "posttrain.micro_batch_size=32"]
    assert digests(*star)["posttrain"] != digests(*star, "model.sampling_rows=8")["posttrain"]


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_start_counts_by_all_that_a_model_is_opened_from(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "start"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text(json.dumps({"a": 1}), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    recipe = small(f"pretrain.start={folder}/")
    before = recipe.stage_digest("pretrain")
    shutil.copy(folder / file, tmp_path / "kept")
    with (folder / file).open("ab") as handle:
        handle.write(b" ")
    assert recipe.stage_digest("pretrain") != before
    shutil.copy(tmp_path / "kept", folder / file)
    assert recipe.stage_digest("pretrain") == before
