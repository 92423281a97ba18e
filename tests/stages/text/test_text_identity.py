"""What identifies stages of our own engine on text: keys that only measure train nothing again."""

import json
from pathlib import Path

import pytest

from tests.in_process import command
from tests.stages.text.small_engine_text import small, table, written

ALL = {"pretrain", "posttrain", "continued_pretrain"}


@pytest.mark.parametrize(
    ("override", "equal"),
    [
        ("task.test_size=12", ALL),
        ("task.test_limit=5", ALL),
        ("task.test_stories=second", ALL),
        ("evaluate.prompts=6", ALL),
        ("model.download=true", ALL),
        ("task.max_tokens=49", set()),
        ("task.train_size=59", set()),
        ("task.template.marker=none", set()),
        ("model.weights=bfloat16", set()),
        ("posttrain.lr=1e-5", {"pretrain"}),
    ],
)
def test_keys_that_only_measure(override: str, equal: set[str], tmp_path: Path) -> None:
    before, after = small(tmp_path), small(tmp_path, override)
    assert {name for name in ALL if before.stage_digest(name) == after.stage_digest(name)} == equal


def test_how_it_is_measured_trains_nothing_again(folder: Path) -> None:
    overrides = ("pretrain.keep={every: 2}", "evaluate.prompts=6", "task.test_size=12")
    ended = command("run", written(folder.parent), *overrides, "--out", folder.parent, "--json")
    assert ended.status == 0, ended.err
    again = json.loads(ended.out.splitlines()[-1])
    before = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert again["run_id"] != before["run_id"]
    assert ended.err.count("taken from") == ended.err.count("measured again, on 6 prompts") == 3
    assert "update " not in ended.err
    for stage in ALL:
        assert (again[stage]["prompts"], again[stage]["tokens"]) == (6, before[stage]["tokens"])
    # Its checkpoints were written by a run with 16 test problems, and are measured on this run's.
    assert table("evaluate", folder.parent / again["run_id"], "--prompts", "99")["greedy"]["n"] == 12
    assert table("evaluate", folder, "--prompts", "99")["greedy"]["n"] == 16
