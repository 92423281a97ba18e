"""`chainlift run` on text with our own engine: what is summed up, counted, shown, shared and refused."""

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chainlift.report.terminal.reporter import Reporter
from chainlift.runs.store import RunFolder
from chainlift.stages import pipeline
from chainlift.stages.task import task_of
from chainlift.tasks import mixture
from chainlift.tasks.lengths import prompt_lengths
from chainlift.text import tokenization
from chainlift.text import tokenized as tokenized_task
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask
from chainlift.text.tokenized import TokenizedTask
from tests.in_process import command
from tests.stages.text.small_engine_text import run, small, written

Whole = tuple[dict[str, Any], RunFolder]
STAGES = ("pretrain", "posttrain", "continued_pretrain")


def updates(folder: RunFolder, stage: str) -> list[dict[str, Any]]:
    return [row for row in folder.rows() if (row["stage"], row["kind"]) == (stage, "update")]


def test_the_summary_has_every_quantity_of_each_stage(whole: Whole) -> None:
    summary = whole[0]
    for stage in STAGES:
        keys = summary[stage].keys()
        assert keys >= {"forced_long_accuracy", "long_prefix_probability", "sampled_pass_at_k"}
        assert keys >= {"decision_first", "decision_long_opening", "decision_long_opening_log_odds"}
        for mode in ("greedy", "sampled"):
            assert keys >= {f"{mode}_{form}_accuracy" for form in ("long", "short")}
            assert keys >= {f"{mode}_{name}_{group}" for name in ("length_mean", "long_share")
                            for group in ("right", "wrong")}  # fmt: skip
        assert 0 < summary[stage]["long_prefix_probability"] < summary[stage]["decision_long_opening"] < 1
    assert (summary["prompts_held_out"], summary["prompts_seen_share"]) == (True, 0.0)
    theory = summary["theory"]
    assert (theory["threshold"], theory["sampled_long_share"], theory["greedy"]) == (0.5, 0.4, "short")


def test_tokens_are_real_ones_and_the_baseline_reads_as_many(whole: Whole, tmp_path: Path) -> None:
    summary, folder = whole
    recipe = small(tmp_path)
    task = task_of(recipe)
    assert isinstance(task, TokenizedTask)
    tokenizer, counted, total = task.tokenizer, 0, 0
    for row in updates(folder, "pretrain"):
        batch = mixture.draw(task, recipe.mixture, 8, seed=0, name="pretrain", step=row["step"] - 1)
        for part in batch.parts:
            for prompt, response, length in zip(
                part.prompts, part.responses, prompt_lengths(task, part.prompts).tolist(), strict=True
            ):
                real = prompt[len(prompt) - length :].tolist()
                assert tokenizer.pad_token_id not in real
                total += len(real) + response.tolist().index(tokenizer.eos_token_id) + 1
                counted += len(prompt)
        assert row["tokens"] == total
    assert counted > total / 2  # there was padding to be left out
    rl, baseline = summary["posttrain"]["tokens"], summary["continued_pretrain"]["tokens"]
    assert rl / 2 <= baseline <= rl / 2 + updates(folder, "continued_pretrain")[0]["tokens"] * 2
    longest = task.prompt_length + 50
    for row in updates(folder, "posttrain"):
        assert row["tokens"] < row["step"] * 2 * 16 * longest


@pytest.mark.parametrize("kind", ["rl, kl: 0.1", "ppo, steps_per_round: 1"])
def test_a_round_counts_each_real_token_once_sampled_and_once_in_its_update(kind: str, tmp_path: Path) -> None:
    stage = f"stages.posttrain={{kind: {kind}, prompts: 2, group_size: 4, steps: 1}}"
    _, folder = run(tmp_path, stage, "pretrain.steps=1", "continued_pretrain=null", "evaluate.prompts=2")
    (update,) = updates(folder, "posttrain")
    rows = [row for row in folder.rows("rollouts.jsonl") if row["kind"] != "evaluation"]
    assert len(rows) == 8  # all of the round's
    task = task_of(small(tmp_path))
    lengths = [len(task.vocabulary.encode(row["prompt"])) for row in rows]
    assert len(set(lengths)) == 2
    assert update["tokens"] == 2 * (sum(lengths) + sum(len(row["response"]) for row in rows))


def test_the_page_shows_responses_which_have_what_is_expected(whole: Whole) -> None:
    folder = whole[1]
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    rows = folder.rows("rollouts.jsonl")
    task = task_of(small(folder.path.parent))
    assert isinstance(task, TokenizedTask)
    answers = {problem.question: problem.answer for split in task.text_task.problems for problem in split}
    assert {(row["stage"], row["mode"]) for row in rows} >= {(stage, "greedy") for stage in STAGES}
    for row in rows:
        question = row["prompt"].removeprefix("Question: ").removesuffix("\nAnswer:")
        assert row["expected"] == answers[question]
    shown = next(row for row in rows if (row["stage"], row["mode"]) == ("posttrain", "sampled"))
    assert shown["prompt"].splitlines()[0] in html.unescape(page)
    assert "baseline" in page


def test_the_same_problems_are_shown_at_every_occasion(whole: Whole) -> None:
    shown: dict[tuple[Any, ...], list[str]] = {}
    for row in whole[1].rows("rollouts.jsonl"):
        if row["kind"] == "evaluation":
            shown.setdefault((row["stage"], row["step"], row["mode"]), []).append(row["prompt"])
    assert len(shown) >= 8
    assert len({tuple(prompts) for prompts in shown.values()}) == 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("posttrain.reward=chain", "posttrain: reward 'chain' judges the steps of a chain"),
        ("model={family: gpt2}", "family 'gpt2' reads symbols, and task 'word_problems' is text"),
        ("task.template.template=chat", "tokenizer has no chat template"),
        ("task.max_tokens=10", "task.max_tokens: none of 60 training problems"),
        ("model.context=60", "model.context is 60, and the task's longest prompt and response are"),
        ("model.vocabulary=100", "the tokenizer has 258 tokens, and model.vocabulary is 100"),
        ("model.lora={rank: 16}", "model.lora.rank must be below 16"),
        ("pretrain.kind=trl_sft", "kind 'trl_sft' trains models of model.family=transformers"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(typed: str, message: str, tmp_path: Path) -> None:
    ended = command("run", written(tmp_path), typed, "--out", tmp_path / "runs")
    assert ended.status == 2
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists(), "nothing is written"


def test_problems_are_read_once_and_what_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenized: list[int] = []

    def counted(task: TextTask, problems: Sequence[Problem], tokenizer: Any) -> tokenization.TokenizedProblems:
        tokenized.append(len(problems))
        return tokenization.tokenize(task, problems, tokenizer)

    monkeypatch.setattr(tokenized_task, "tokenize", counted)
    shown = io.StringIO()
    recipe = small(tmp_path, "task.max_tokens=32", "posttrain=null", "continued_pretrain=null")
    pipeline.run(recipe, tmp_path / "runs", Reporter(file=shown))
    assert tokenized == [60, 16], "training and test problems, each once"
    (line,) = [line for line in shown.getvalue().splitlines() if "training problems read in" in line]
    num_read, num_left_out = (int(number) for number in re.findall(r"(\d+) (?:training|with)", line))
    assert num_read + num_left_out == 60
    assert 0 < num_left_out < 60
    assert task_of(recipe) is task_of(recipe)
    assert task_of(small(tmp_path)) is not task_of(small(tmp_path)), "files may have changed"
