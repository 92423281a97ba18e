"""Part 4: language models on word problems, on our engine and by TRL: `llm-tiny`, and a Llama of 57 M parameters."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.record import Finding, Record
from chainlift.report.terminal.reporter import Reporter
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe
from chainlift.stages.run_context import RunContext

SHORTER = [
    "task.train_size=20000",
    "pretrain.checkpoint_every=100000",
    "pretrain.steps=300",
    "posttrain.steps=8",
    "evaluate.every=100000",
    "evaluate.every_rounds=100000",
    "evaluate.prompts=256",
    "continued_pretrain=null",
    "posttrain.checkpoint_every=100000",
]
LARGER = ["pretrain.lr=1e-3", "pretrain.batch_size=128", "pretrain.steps=150", "posttrain.lr=2e-5", "posttrain.steps=4"]
SIZES = {"layers": 12, "width": 640, "heads": 10}
LLAMA = [
    *(f"model.{key}={value}" for key, value in SIZES.items()),
    "model.kv_heads=10",
    "model.mlp_width=1664",
    *LARGER,
]
LLAMA_TRL = [
    *(f"model.scratch.{key}={value}" for key, value in SIZES.items()),
    "model.scratch.mlp=1664",
    "pretrain.micro_batch_size=128",
    *LARGER,
]
TINY = [
    "task.train_size=40",
    "task.test_size=8",
    "pretrain.steps=2",
    "pretrain.batch_size=4",
    "pretrain.warmup=0",
    "posttrain.prompts=2",
    "posttrain.group_size=2",
    "posttrain.steps=1",
    "evaluate.prompts=4",
    "evaluate.during=4",
    "task.max_tokens=64",
]
TINY_OF = {
    "llm-tiny": ["model.layers=1", "model.width=16", "model.heads=2", "model.kv_heads=2", "model.mlp_width=16"],
    "llm-tiny-trl": [
        *("model.scratch.layers=1", "model.scratch.width=16", "model.scratch.heads=2", "model.scratch.mlp=16"),
        *("pretrain.micro_batch_size=4", "posttrain.micro_batch_size=4"),
    ],
}
CASES: dict[str, tuple[str, list[str], float]] = {
    "llm-tiny": ("llm-tiny", [], 30.0),
    "llm-tiny-trl": ("llm-tiny-trl", [], 40.0),
    "Llama of 57 M, bfloat16 weights": ("llm-tiny", [*LLAMA, "model.weights=bfloat16"], 35.0),
    "Llama of 57 M, by TRL, autocast": ("llm-tiny-trl", [*LLAMA_TRL, "dtype=bfloat16"], 45.0),
}
"""{name: (recipe, changes, seconds that it needs)}, in the order of their worth."""


def run(record: Record, work: Path) -> None:
    """Make all measurements; of tiny ones, those of the shipped sizes."""
    for name, (recipe, changes, needs) in CASES.items():
        if record.tiny and name not in TINY_OF:
            continue
        tiny = [*TINY, *TINY_OF[recipe]] if record.tiny else []
        overrides = [*SHORTER, *changes, *tiny, f"device={record.device}"]
        record.measure(name, partial(trained, recipe, overrides, work / "text"), needs=needs)


def trained(name: str, changes: list[str], out: Path) -> Finding:
    """Fine-tuning and RL: seconds, sequences per second without evaluations, accuracy before and after."""
    import trl  # noqa: F401  # so that a missing package is reported as such

    recipe = recipes.load(name, changes)
    started = time.perf_counter()
    summary, measuring = clocked(recipe, out)
    finding: dict[str, Any] = {
        "wall_seconds": time.perf_counter() - started,
        "summary": summary,
        "measuring": measuring,
    }
    counts = {"pretrain": summary["pretrain"]["sequences"], "posttrain": summary["posttrain"]["rollouts"]}
    parts = []
    for stage, count in counts.items():
        seconds = summary[stage]["seconds"] - measuring.get(stage, 0.0)
        finding[f"{stage}_sequences_per_second"] = count / max(seconds, 1e-9)
        parts.append(
            f"{stage} {count} sequences in {seconds:.1f} s ({finding[f'{stage}_sequences_per_second']:.0f} a second), "
            f"then greedy accuracy {summary[stage]['greedy_accuracy']:.3f}, long "
            f"{summary[stage]['greedy_long_share']:.2f}, sampled {summary[stage]['sampled_accuracy']:.3f}"
        )
    return finding, "; ".join(parts)


def clocked(recipe: Recipe, out: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """(summary of the run, {stage: seconds spent in evaluations})."""
    spent: dict[str, float] = {}
    original = RunContext.evaluate

    def timed(context: RunContext, state: Any, *arguments: Any, **options: Any) -> None:
        started = time.perf_counter()
        original(context, state, *arguments, **options)
        spent[state.stage] = spent.get(state.stage, 0.0) + time.perf_counter() - started

    setattr(RunContext, "evaluate", timed)  # noqa: B010
    try:
        return pipeline.run(recipe, out, Reporter(quiet=True)).summary, spent
    finally:
        setattr(RunContext, "evaluate", original)  # noqa: B010
