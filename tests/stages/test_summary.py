"""The summary: the end of each stage, and how many prompts its model has seen on its way."""

import json
from pathlib import Path

from chainlift.runs.store import read_rows
from chainlift.stages import recipe as recipes
from chainlift.stages import summary


def test_each_stage_is_told_by_its_own_last_evaluation(finished: Path) -> None:
    told = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    rows = [row for row in read_rows(finished / "metrics.jsonl") if row["kind"] == "evaluation"]
    for name in told["stages"]:
        last = [row for row in rows if row["stage"] == name][-1]
        assert told[name]["prompts"] == last["greedy"]["n"] == 64
        for mode in ("greedy", "sampled"):
            assert told[name][f"{mode}_accuracy"] == last[mode]["accuracy"]
            assert told[name][f"{mode}_accuracy_ci95"] == last[mode]["accuracy_ci95"]
        assert told[name]["decision_first_log_odds"] == last["decision"]["first_log_odds"]


def test_prompts_are_those_of_the_longest_way_through_the_stages() -> None:
    """RL and the baseline both begin where stage 1 ended."""
    recipe = recipes.load("tiny")
    assert list(recipe.stages) == ["pretrain", "posttrain", "continued_pretrain"]
    drawn = {"pretrain": 10, "posttrain": 5, "continued_pretrain": 7}
    assert summary._most_drawn(recipe, drawn) == 17
    assert summary._most_drawn(recipe, drawn | {"posttrain": 9}) == 19
