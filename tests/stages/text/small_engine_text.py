"""Runs of a language model of 9,000 numbers on our own engine: a few updates on word problems of one or two steps."""

import json
from pathlib import Path
from typing import Any

from chainlift.runs.store import RunFolder
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe
from tests.in_process import command

SMALL = """
title: small text
task:
  {name: word_problems, min_steps: 1, max_steps: 2, max_number: 10, train_size: 60, test_size: 16, max_tokens: 50,
   template: {marker: long}}
mixture: {p_cot: 0.4}
model: {family: llama, layers: 1, width: 16, heads: 2, kv_heads: 1, mlp_width: 32, context: 160, vocabulary: 400}
stages:
  pretrain: {kind: ntp, steps: 4, batch_size: 8, checkpoint_every: 1}
  posttrain: {kind: rl, prompts: 4, group_size: 4, steps: 3, checkpoint_every: 1}
  continued_pretrain: {kind: ntp, start: pretrain, match_tokens: posttrain, token_ratio: 0.5}
evaluate: {prompts: 8, during: 4, every: 4, every_rounds: 2, pass_at_k_prompts: 4, pass_at_k_samples: 2}
device: cpu
threads: 1
"""


def written(folder: Path) -> Path:
    """The file of the recipe."""
    file = folder / "small-text.yaml"
    file.write_text(SMALL, encoding="utf-8")
    return file


def small(folder: Path, *overrides: str) -> Recipe:
    return recipes.load(str(written(folder)), list(overrides))


def run(out: Path, *typed: str) -> tuple[dict[str, Any], RunFolder]:
    """(summary, folder) of a run of the recipe with overrides."""
    ended = command("run", written(out), *typed, "--out", out, "--json")
    assert ended.status == 0, ended.err
    summary = json.loads(ended.out.splitlines()[-1])
    return summary, RunFolder(out / summary["run_id"])


def table(*typed: str | Path) -> dict[str, Any]:
    """What a command prints as JSON."""
    ended = command(*typed, "--json")
    assert ended.status == 0, ended.err
    return json.loads(ended.out.splitlines()[-1])
