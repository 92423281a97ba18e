"""Part 4: language models, `llm-tiny` and a Llama of 57 million parameters from scratch, on word problems."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.record import Finding, Record
from chainlift.llm import pipeline
from chainlift.llm import recipe as recipes
from chainlift.llm.context import LlmContext
from chainlift.llm.recipe import LlmRecipe
from chainlift.report.terminal import Reporter

SHORTER = [
    "data.train_size=20000",
    "finetune.checkpoint_every=100000",
    "evaluate.every=100000",
    "evaluate.every_rounds=100000",
    "evaluate.prompts=256",
    "posttrain.checkpoint_every=100000",
]
LLM_TINY = ["finetune.steps=300", "posttrain.updates=8"]
LLAMA = [
    "model.scratch.layers=12",
    "model.scratch.width=640",
    "model.scratch.heads=10",
    "model.scratch.mlp=1664",
    "finetune.lr=1e-3",
    "finetune.batch_size=128",
    "finetune.rows_at_once=128",
    "finetune.steps=150",
    "posttrain.lr=2e-5",
    "posttrain.updates=4",
]
TINY = [
    "data.train_size=40",
    "data.test_size=8",
    "model.scratch.layers=1",
    "model.scratch.width=16",
    "model.scratch.heads=2",
    "model.scratch.mlp=16",
    "finetune.steps=2",
    "finetune.batch_size=4",
    "finetune.rows_at_once=4",
    "finetune.warmup=0",
    "posttrain.prompts=2",
    "posttrain.group_size=2",
    "posttrain.updates=1",
    "posttrain.max_tokens=8",
    "posttrain.rows_at_once=4",
    "evaluate.prompts=4",
    "evaluate.during=4",
    "evaluate.max_tokens=8",
]
CASES = {
    "llm-tiny": (LLM_TINY, ["dtype=float32"], 40.0),
    "llm-tiny, bfloat16": (LLM_TINY, ["dtype=bfloat16"], 45.0),
    "Llama of 57 M, bfloat16": (LLAMA, ["dtype=bfloat16"], 45.0),
}
ORDER = ("llm-tiny", "Llama of 57 M, bfloat16", "llm-tiny, bfloat16")


def run(record: Record, work: Path) -> None:
    """All of it."""
    for name in ORDER:
        sizes, changes, needs = CASES[name]
        own = [*SHORTER, *sizes, *(TINY if record.tiny else []), *changes, f"device={record.device}"]
        record.measure(name, partial(trained, own, work / "text"), needs=needs)
        if record.tiny:
            break


def trained(changes: list[str], out: Path) -> Finding:
    """Fine-tuning and RL: seconds, sequences a second without measurements, accuracy before and after."""
    import trl  # noqa: F401  # its lack is told as such

    recipe = recipes.load("llm-tiny", changes)
    began = time.perf_counter()
    found, measuring = clocked(recipe, out)
    told: dict[str, Any] = {"wall_seconds": time.perf_counter() - began, "summary": found, "measuring": measuring}
    scratch = recipe.model.scratch
    told["parameters"] = None if scratch is None else scratch.parameters
    rl = recipe.posttrain
    assert rl is not None
    counts = {"pretrain": recipe.finetune.steps * recipe.finetune.batch_size, "posttrain": rl.updates * rl.rollouts}
    parts = []
    for stage, count in counts.items():
        seconds = found[stage]["seconds"] - measuring.get(stage, 0.0)
        told[f"{stage}_sequences_per_second"] = count / max(seconds, 1e-9)
        parts.append(
            f"{stage} {count} sequences in {seconds:.1f} s ({told[f'{stage}_sequences_per_second']:.0f} a second), "
            f"then greedy accuracy {found[stage]['greedy_accuracy']:.3f}, long "
            f"{found[stage]['greedy_long_share']:.2f}, sampled {found[stage]['sampled_accuracy']:.3f}"
        )
    return told, f"{(told['parameters'] or 0) / 1e6:.1f} M parameters, {recipe.dtype}: {'; '.join(parts)}"


def clocked(recipe: LlmRecipe, out: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """(summary of the run, seconds that each stage spent in measurements)."""
    spent: dict[str, float] = {}
    usual = LlmContext.evaluate

    def timed(context: LlmContext, state: Any, *arguments: Any, **options: Any) -> None:
        began = time.perf_counter()
        usual(context, state, *arguments, **options)
        spent[state.stage] = spent.get(state.stage, 0.0) + time.perf_counter() - began

    setattr(LlmContext, "evaluate", timed)  # noqa: B010
    try:
        return pipeline.run(recipe, out, Reporter(quiet=True), with_page=False), spent
    finally:
        setattr(LlmContext, "evaluate", usual)  # noqa: B010
