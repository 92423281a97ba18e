"""Part 1: agreement of the GPU with the CPU, of replayed with plain steps, and approximately of bfloat16."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_check.record import Finding, Record
from benchmarks.gpu_check.sizes import TINY, headline
from chainlift.bench.machine import Machine
from chainlift.learning import next_token
from chainlift.learning.likelihood import log_probs
from chainlift.learning.rollout import Rollout, sample
from chainlift.measure.evaluate import answer
from chainlift.models.hub import model_folder
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer.cuda_graphs import replaying
from chainlift.models.transformer.transformer import Transformer
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import checkpoint
from chainlift.runs.store import RunFolder
from chainlift.seeding import stream
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe
from chainlift.tasks import mixture
from chainlift.tasks.base import Task

EQUAL = 1e-3  # largest difference that is taken for rounding, after a few updates in float32
BFLOAT16 = {"loss": 2e-2, "logp": 0.15}  # largest relative difference of a loss, and largest of a log-probability
PROMPTS, GROUP = 256, 4


def run(record: Record, work: Path) -> None:
    """Make all measurements."""
    short = headline("continued_pretrain=null", tiny=record.tiny)
    if not record.tiny:
        short = recipes.override(short, ["pretrain.steps=20", "posttrain.steps=6", "evaluate.prompts=512"])
        short = recipes.override(short, ["evaluate.every=10", "evaluate.during=256"])
    record.measure("losses", partial(losses, short, record.device, work / "losses"), needs=10)
    trained = recipes.load("tiny", [*(TINY if record.tiny else []), "continued_pretrain=null"])
    changed = [f"device={record.device}"]
    whole = partial(whole_run, recipes.override(trained, changed), work / "small")
    run = work / "small" / recipes.override(trained, changed).run_id
    if record.measure("whole_run", whole, needs=10) is not None and run.exists():  # else an earlier check made it
        for stage in ("pretrain", "posttrain"):
            agreements(record, "", run, stage)
    if record.device == "cuda" and find_spec("pytest") is not None:
        record.measure("test_cuda", tests, needs=15)
    for change in ("dtype=bfloat16", "compile=true"):
        if change == "compile=true" and record.device == "cpu":  # needs a compiler, and a GPU to be of interest
            continue
        changed_recipe = recipes.override(trained, [*changed, change])
        record.measure(
            f"whole_run_{change.partition('=')[0]}", partial(whole_run, changed_recipe, work / "small"), needs=20
        )


def agreements(record: Record, name: str, run: Path, stage: str) -> None:
    """Compare a trained checkpoint on both devices, with and without graphs, sampled and scored."""
    folder = checkpoint.latest(run / "checkpoints", stage)
    assert folder is not None, f"no checkpoint of {stage} in {run}"
    checks: dict[str, Callable[[Path, str], Finding]] = {
        "responses": responses,
        "graphs": replayed,
        "scored": scored,
        "bfloat16": bfloat16,
    }
    for check, measurement in checks.items():
        record.measure(f"{name}{check}_{stage}", partial(measurement, folder, record.device))


def whole_run(recipe: Recipe, out: Path) -> Finding:
    """A whole run, its accuracies and the seconds of its stages."""
    summary = pipeline.run(recipe, out, Reporter(quiet=True)).summary
    keys = ("greedy_accuracy", "greedy_length_median", "sampled_accuracy", "sampled_long_share", "seconds")
    finding = {
        stage: {key: summary[stage][key] for key in keys} for stage in ("pretrain", "posttrain") if stage in summary
    }
    parts = [
        f"{stage} greedy {measured['greedy_accuracy']:.3f} in {measured['seconds']:.1f} s"
        for stage, measured in finding.items()
    ]
    return finding, f"{recipe.name}, {recipe.device} {recipe.dtype}{' compiled' * recipe.compile}: {', '.join(parts)}"


def losses(recipe: Recipe, device: str, out: Path) -> Finding:
    """Compare the same run on both devices, update by update."""
    rows = []
    for run_device in ("cpu", device):
        run = pipeline.run(
            recipes.override(recipe, [f"device={run_device}"]), out / f"on-{run_device}", Reporter(quiet=True)
        )
        rows.append(RunFolder(run.folder).rows())
    pairs = list(zip(*rows, strict=True))
    updates = {
        stage: [
            (cpu_row, device_row)
            for cpu_row, device_row in pairs
            if cpu_row["kind"] == "update" and cpu_row["stage"] == stage
        ]
        for stage in ("pretrain", "posttrain")
    }
    rl = updates["posttrain"]
    equal_samples = [
        all(cpu_row[key] == device_row[key] for key in ("reward_mean", "length_mean", "long_share"))
        for cpu_row, device_row in rl
    ]
    finding = {
        "updates": len(updates["pretrain"]),
        "loss_relative_max": relative(updates["pretrain"], "loss"),
        "loss_relative_first": relative(updates["pretrain"][:1], "loss"),
        "grad_norm_relative_max": relative(updates["pretrain"], "grad_norm"),
        "losses_last": [cpu_row["loss"] for cpu_row in updates["pretrain"][-1]],
        "rl_updates": len(rl),
        "rl_rounds_with_equal_samples": sum(equal_samples),
        "rl_loss_difference_max": max(abs(cpu_row["loss"] - device_row["loss"]) for cpu_row, device_row in rl),
        "rl_grad_norm_relative_max": relative(rl, "grad_norm"),
        "rl_logp_error_max": max(device_row["logp_error_max"] or 0.0 for _, device_row in rl),
        "accuracy_difference_max": max(
            abs(cpu_row["greedy"]["accuracy"] - device_row["greedy"]["accuracy"])
            for cpu_row, device_row in pairs
            if cpu_row["kind"] == "evaluation"
        ),
    }
    finding["equal"] = finding["loss_relative_max"] < EQUAL
    return finding, (
        f"{finding['updates']} updates on cpu and {device}, float32: "
        f"losses differ by {finding['loss_relative_max']:.1e} relative at most (first "
        f"{finding['loss_relative_first']:.1e}); RL: {sum(equal_samples)} of {len(rl)} rounds sample alike, "
        f"gradient norms differ by {finding['rl_grad_norm_relative_max']:.1e}; equal: {finding['equal']}"
    )


def relative(pairs: list[tuple[dict[str, Any], dict[str, Any]]], key: str) -> float:
    """Largest relative difference of a metric between two runs."""
    return max(abs(first[key] - second[key]) / max(abs(first[key]), abs(second[key]), 1e-12) for first, second in pairs)


def opened(folder: Path, device: str) -> tuple[Transformer, Task]:
    """The model of a checkpoint on a device, and its task."""
    model, task = model_folder.load(folder)
    assert isinstance(model, Transformer)
    return model.to(device), task


def rollout(model: Transformer, task: Task, *, greedy: bool = False) -> Rollout:
    """Answers to the same prompts by the same random numbers, back on the CPU."""
    prompts = task.prompts(PROMPTS, stream(0, "gpu_check/prompts"))
    group = {} if greedy else {"group_size": GROUP, "generator": stream(0, "gpu_check/samples")}
    return on_cpu(answer(model, task, prompts, **group).rollout)


def step_by_step(model: Transformer, task: Task) -> Rollout:
    """The samples of `rollout`, made without drafts."""
    return sample(
        model,
        task.prompts(PROMPTS, stream(0, "gpu_check/prompts")).to(next(model.parameters()).device),
        eos=task.vocabulary.eos,
        max_tokens=task.long_length + 1,
        group_size=GROUP,
        generator=stream(0, "gpu_check/samples"),
    )


def on_cpu(device_rollout: Rollout) -> Rollout:
    """The rollout, its tensors on the CPU."""
    tensors = {name: value for name, value in vars(device_rollout).items() if value is not None}
    return Rollout(**{name: value.cpu() for name, value in tensors.items()})


def compare(first: Rollout, second: Rollout) -> tuple[int, float]:
    """(rows that differ, the largest difference of log-probabilities in the others)."""
    width = max(first.responses.shape[1], second.responses.shape[1])

    def padded(x: Tensor, value: float) -> Tensor:
        return torch.nn.functional.pad(x, (0, width - x.shape[1]), value=value)

    ends = int(first.responses.max())
    differs = (padded(first.responses, ends) != padded(second.responses, ends)).any(dim=1)
    differs |= first.num_actions != second.num_actions
    gap = (padded(first.logp, 0.0) - padded(second.logp, 0.0)).abs()[~differs]
    return int(differs.sum()), float(gap.max()) if gap.numel() else 0.0


def responses(folder: Path, device: str) -> Finding:
    """Greedy and sampled responses on both devices."""
    finding: dict[str, Any] = {"rows": PROMPTS, "sampled_rows": PROMPTS * GROUP}
    for mode in ("greedy", "sampled"):
        pair = [rollout(*opened(folder, run_device), greedy=mode == "greedy") for run_device in ("cpu", device)]
        finding[f"{mode}_rows_that_differ"], finding[f"{mode}_logp_difference_max"] = compare(*pair)
        finding[f"{mode}_length_mean"] = float(pair[1].num_actions.float().mean())
    return finding, (
        f"cpu and {device}: {finding['greedy_rows_that_differ']} of {PROMPTS} greedy and "
        f"{finding['sampled_rows_that_differ']} of {PROMPTS * GROUP} sampled responses differ; log-probabilities of "
        f"equal ones by {finding['greedy_logp_difference_max']:.1e} and "
        f"{finding['sampled_logp_difference_max']:.1e} at most"
    )


def replayed(folder: Path, device: str) -> Finding:
    """Sampling step by step with graphs, without them, and along drafts."""
    model, task = opened(folder, device)
    plain_rollout = on_cpu(step_by_step(model, task))
    with replaying(after=0):
        rows, gap = compare(plain_rollout, on_cpu(step_by_step(model, task)))
    other_rows, other_gap = compare(plain_rollout, rollout(model, task))
    finding = {"rows_that_differ": rows, "logp_difference_max": gap}
    finding |= {"rows_that_differ_with_drafts": other_rows, "logp_difference_max_with_drafts": other_gap}
    return finding, (
        f"replayed against plain steps on {device}: {rows} of {len(plain_rollout.rows)} sampled responses differ, "
        f"log-probabilities by {gap:.1e}; drafts against plain steps {other_rows} and {other_gap:.1e}"
    )


def gaps(folder: Path, machine: Machine) -> Tensor:
    """|sampled - scored| log-probabilities of every sampled token."""
    model, task = opened(folder, machine.device)
    with torch.no_grad(), machine.autocast():
        sampled = step_by_step(model, task)
        prefix, last = split_prompts(sampled.prompts)
        rescored = log_probs(model, model.prefill(prefix), last, sampled.responses, sampled.rows)
    return (sampled.logp - rescored).abs()[sampled.mask].cpu()


def scored(folder: Path, device: str) -> Finding:
    """Differences between the sampler's log-probabilities and a forward pass, in float32."""
    gap = gaps(folder, Machine(device))
    finding = {"logp_difference_max": float(gap.max()), "logp_difference_mean": float(gap.mean()), "tokens": len(gap)}
    return finding, f"sampler against scorer on {device}, float32, {len(gap)} tokens: {gap.max():.1e} at most"


def bfloat16(folder: Path, device: str) -> Finding:
    """Loss, and sampler against scorer, in bfloat16."""
    model, task = opened(folder, device)
    batch = mixture.draw(task, headline(tiny=True).mixture, PROMPTS, seed=0, name="gpu_check", step=0)
    values = []
    for dtype in ("float32", "bfloat16"):
        with torch.no_grad(), Machine(device, dtype).autocast():
            values.append(float(next_token.loss(model, batch, "token_mean")[0]))
    gap = gaps(folder, Machine(device, "bfloat16"))
    finding: dict[str, Any] = {"losses": values, "loss_relative": abs(values[1] / values[0] - 1)}
    finding |= {"logp_difference_max": float(gap.max()), "logp_difference_mean": float(gap.mean())}
    finding |= {"tolerance": BFLOAT16}
    finding["within"] = (
        finding["loss_relative"] < BFLOAT16["loss"] and finding["logp_difference_max"] < BFLOAT16["logp"]
    )
    return finding, (
        f"bfloat16 on {device}: loss {values[1]:.4f}, in float32 {values[0]:.4f} ({finding['loss_relative']:.1e}); "
        f"sampler against scorer {gap.max():.2e} at most, {gap.mean():.1e} on average; "
        f"within tolerance: {finding['within']}"
    )


def tests() -> Finding:
    """Run tests/test_cuda.py without its whole runs, which `run` makes."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/test_cuda.py", "-k", "not whole_run"]
    process = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=60)
    lines = process.stdout.strip().splitlines()[-8:]
    finding = {"status": process.returncode, "output": lines}
    return finding, f"status {process.returncode}: {lines[-1] if lines else 'silent'}"
