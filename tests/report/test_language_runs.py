"""Runs of language models on the pages and in the terminal, from a run folder that is written by hand."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from chainlift.report.about import about, chance, learner
from chainlift.report.pages import results_data, results_page, run_page
from chainlift.report.record import read
from chainlift.report.terminal.reporter import evaluation_table, summary_table
from chainlift.runs import stage_views
from chainlift.runs.progress import Watcher
from chainlift.stages import recipe as recipes

QUESTION = "Anna has 3 <b>boxes</b>.\nHow many?"
TOKENS = [" Let", " us", " see.", " 3", "\n", "####", " 3"]
RESPONSE = {
    "prompt": QUESTION, "response": TOKENS, "probabilities": [0.5] * len(TOKENS), "token_right": [True] * len(TOKENS),
    "length": len(TOKENS), "finished": True, "answer": True, "long": True, "expected": "3",
}  # fmt: skip


def mode(accuracy: float, long: float, length: float) -> dict[str, Any]:
    """One mode of an evaluation."""
    return {
        "n": 40, "accuracy": accuracy, "accuracy_ci95": [accuracy - 0.05, accuracy + 0.05], "long_share": long,
        "long_share_ci95": [long, long], "length_median": length, "length_mean": length, "unfinished_share": 0.0,
        "chain_exactness": None, "step_accuracy": None, "length_histogram": {str(int(length)): 40},
        "long_accuracy": None, "short_accuracy": accuracy, "length_mean_right": length, "length_mean_wrong": None,
        "long_share_right": long, "long_share_wrong": None,
    }  # fmt: skip


def stage(accuracy: float, long: float, length: float) -> dict[str, Any]:
    """A stage in the summary."""
    told = {
        f"{name}_{key}": value for name in ("greedy", "sampled") for key, value in mode(accuracy, long, length).items()
    }
    return told | {
        "steps": 3,
        "sequences": 192,
        "tokens": 5,
        "seconds": 1.0,
        "prompts": 40,
        "forced_long_accuracy": 0.75,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run."""
    chosen = recipes.load("llm-tiny-trl", ["continued_pretrain=null"])
    path = tmp_path / chosen.run_id
    path.mkdir()
    (path / "recipe.yaml").write_text(yaml.safe_dump(chosen.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    (path / "environment.json").write_text('{"torch": "2"}', encoding="utf-8")
    ends = {"pretrain": (0.25, 0.4, 4.0), "posttrain": (0.7, 1.0, 50.0)}
    rows, responses = [], []
    for name, (accuracy, long, length) in ends.items():
        where = {"stage": name, "step": 3, "sequences": 192}
        modes = {"greedy": mode(accuracy, long, length), "sampled": mode(accuracy, long, length)}
        rows.append({**where, "kind": "evaluation", "final": True, **modes})
        told = {"stage": name, "step": 3, "kind": "evaluation", **RESPONSE}
        responses += [told | {"mode": shown} for shown in ("greedy", "sampled")]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (path / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in responses), encoding="utf-8")
    theory = {
        "sampled_long_share": 0.4,
        "greedy_accuracy": None,
        "sampled_accuracy": None,
        "greedy_length_median": None,
    }
    summary = {
        "recipe": "llm-tiny-trl", "run_id": path.name, "seed": 0,
        "stages": stage_views.for_summary(chosen.model_dump(mode="json")), "pretrain": stage(*ends["pretrain"]),
        "posttrain": stage(*ends["posttrain"]) | {"algorithm": "grpo", "steps": 3, "rollouts": 48},
        "theory": theory | {
            "chance": 0.0, "rl": dict.fromkeys(theory),
            "stages": {"pretrain": theory, "posttrain": dict.fromkeys(theory)},
        },
    }  # fmt: skip
    (path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (path / "DONE").write_text("", encoding="utf-8")
    return path


def test_the_page_shows_texts_as_they_are(folder: Path) -> None:
    text = run_page.write(folder).read_text(encoding="utf-8")
    assert "a generated word problem of 2 to 4 steps" in text
    assert "A Llama of 3 layers and width 128, from scratch," in text
    assert "Anna has 3 &lt;b&gt;boxes&lt;/b&gt;." in text
    assert 'data-probability="0.5000"> Let</span><span' in text  # no blank of ours between tokens
    assert "expected 3" in text
    assert "greedy accuracy of responses made long" in text
    assert "blind guess" not in text
    assert "raise this to 70.0 %" in text
    assert {file.suffix for file in (folder / "figures").iterdir()} == {".pdf", ".png", ".csv"}


def test_it_stands_among_the_runs_of_a_folder(folder: Path) -> None:
    view = results_data.run(folder)
    assert (view.status, view.row["recipe"], view.row["p_cot"], view.row["algorithm"]) == (
        "done",
        "llm-tiny-trl",
        0.4,
        "grpo",
    )
    assert view.row["d"] is None
    (before, _) = view.samples
    assert view.is_text
    assert before["responses"][0]["length"] == 7
    text = results_page.write(folder.parent).read_text(encoding="utf-8")
    assert folder.name in text
    assert "right answer,\nlength 7, expected 3" in text


def test_watching_knows_how_far_it_is(folder: Path) -> None:
    (one,) = Watcher(folder.parent).poll()
    assert (one.state, one.stage, one.step, one.total) == ("done", "posttrain", 3, 30)


def test_tables_in_the_terminal(folder: Path) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(summary_table(json.loads((folder / "summary.json").read_text(encoding="utf-8"))))
    console.print(evaluation_table({"greedy": mode(0.25, 0.4, 4.0), "sampled": mode(0.25, 0.4, 4.0), "forced_long": {
        "accuracy": 0.75, "accuracy_ci95": [0.7, 0.8]}}))  # fmt: skip
    text = console.export_text()
    for told in ("greedy accuracy of responses made long", "0.7500", "accuracy if made long", "short accuracy", "—"):
        assert told in text


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"name": "gsm8k"}, "GSM8K"),
        ({"name": "math"}, "MATH"),
        ({"name": "word_problems", "min_steps": 1, "max_steps": 1}, "of 1 step."),
    ],
)
def test_what_is_asked(task: dict[str, Any], told: str) -> None:
    recipe = {"task": task | {"template": {}}, "model": {"family": "transformers", "path": "x/y", "lora": {"rank": 4}}}
    assert told in about(recipe)
    assert chance(recipe, None) == 0.0
    assert learner(recipe) == "The pretrained model x/y, by low-rank adapters,"


def test_a_damaged_recipe_is_named(folder: Path) -> None:
    (folder / "recipe.yaml").write_text("name: x\nmixture: {}\ntask: {template: {}}\nstages: {}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"recipe.yaml is damaged: it lacks model"):
        read(folder)
