"""Part 4: language models, `llm-tiny` and a Llama of 57 million parameters from scratch, on word problems."""

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
from chainlift.stages.trl.context import TextContext

SHORTER = [
    "task.train_size=20000",
    "pretrain.checkpoint_every=100000",
    "evaluate.every=100000",
    "evaluate.every_rounds=100000",
    "evaluate.prompts=256",
    "continued_pretrain=null",
    "posttrain.checkpoint_every=100000",
]
LLM_TINY = ["pretrain.steps=300", "posttrain.steps=8"]
LLAMA = [
    "model.scratch.layers=12",
    "model.scratch.width=640",
    "model.scratch.heads=10",
    "model.scratch.mlp=1664",
    "pretrain.lr=1e-3",
    "pretrain.batch_size=128",
    "pretrain.micro_batch_size=128",
    "pretrain.steps=150",
    "posttrain.lr=2e-5",
    "posttrain.steps=4",
]
TINY = [
    "task.train_size=40",
    "task.test_size=8",
    "model.scratch.layers=1",
    "model.scratch.width=16",
    "model.scratch.heads=2",
    "model.scratch.mlp=16",
    "pretrain.steps=2",
    "pretrain.batch_size=4",
    "pretrain.micro_batch_size=4",
    "pretrain.warmup=0",
    "posttrain.prompts=2",
    "posttrain.group_size=2",
    "posttrain.steps=1",
    "posttrain.micro_batch_size=4",
    "evaluate.prompts=4",
    "evaluate.during=4",
    "task.max_tokens=8",
]
CASES = {
    "llm-tiny-trl": (LLM_TINY, ["dtype=float32"], 40.0),
    "llm-tiny, bfloat16": (LLM_TINY, ["dtype=bfloat16"], 45.0),
    "Llama of 57 M, bfloat16": (LLAMA, ["dtype=bfloat16"], 45.0),
}
ORDER = ("llm-tiny-trl", "Llama of 57 M, bfloat16", "llm-tiny, bfloat16")


def run(record: Record, work: Path) -> None:
    """Make all measurements."""
    for name in ORDER:
        sizes, changes, needs = CASES[name]
        overrides = [*SHORTER, *sizes, *(TINY if record.tiny else []), *changes, f"device={record.device}"]
        record.measure(name, partial(trained, overrides, work / "text"), needs=needs)
        if record.tiny:
            break


def trained(changes: list[str], out: Path) -> Finding:
    """Fine-tuning and RL: seconds, sequences per second without evaluations, accuracy before and after."""
    import trl  # noqa: F401  # so that a missing package is reported as such

    recipe = recipes.load("llm-tiny-trl", changes)
    started = time.perf_counter()
    summary, measuring = clocked(recipe, out)
    finding: dict[str, Any] = {
        "wall_seconds": time.perf_counter() - started,
        "summary": summary,
        "measuring": measuring,
    }
    scratch = recipe.setting("model.scratch")
    finding["parameters"] = None if scratch is None else scratch.parameters
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
    return finding, f"{(finding['parameters'] or 0) / 1e6:.1f} M parameters, {recipe.dtype}: {'; '.join(parts)}"


def clocked(recipe: Recipe, out: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """(summary of the run, {stage: seconds spent in evaluations})."""
    spent: dict[str, float] = {}
    original = TextContext.evaluate

    def timed(context: TextContext, state: Any, *arguments: Any, **options: Any) -> None:
        started = time.perf_counter()
        original(context, state, *arguments, **options)
        spent[state.stage] = spent.get(state.stage, 0.0) + time.perf_counter() - started

    setattr(TextContext, "evaluate", timed)  # noqa: B010
    try:
        return pipeline.run(recipe, out, Reporter(quiet=True)).summary, spent
    finally:
        setattr(TextContext, "evaluate", original)  # noqa: B010
