"""Part 1: the GPU computes what the CPU computes, replayed steps what plain ones do, and bfloat16 nearly so."""

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
    """All of it."""
    short = headline("continued_pretrain=null", tiny=record.tiny)
    if not record.tiny:
        short = recipes.override(short, ["pretrain.steps=20", "posttrain.steps=6", "evaluate.prompts=512"])
        short = recipes.override(short, ["evaluate.every=10", "evaluate.during=256"])
    record.measure("losses", partial(losses, short, record.device, work / "losses"), needs=10)
    trained = recipes.load("tiny", [*(TINY if record.tiny else []), "continued_pretrain=null"])
    changed = [f"device={record.device}"]
    whole = partial(whole_run, recipes.override(trained, changed), work / "small")
    run = work / "small" / recipes.override(trained, changed).run_id
    if record.measure("whole_run", whole, needs=10) is not None and run.exists():  # else an earlier check had it
        for stage in ("pretrain", "posttrain"):
            agreements(record, "", run, stage)
    if record.device == "cuda" and find_spec("pytest") is not None:
        record.measure("test_cuda", tests, needs=15)
    for change in ("dtype=bfloat16", "compile=true"):
        if change == "compile=true" and record.device == "cpu":  # needs a compiler, and a GPU to be of interest
            continue
        own = recipes.override(trained, [*changed, change])
        record.measure(f"whole_run_{change.partition('=')[0]}", partial(whole_run, own, work / "small"), needs=20)


def agreements(record: Record, name: str, run: Path, stage: str) -> None:
    """A trained checkpoint on both devices, by graphs and without, sampled and scored."""
    folder = checkpoint.latest(run / "checkpoints", stage)
    assert folder is not None, f"no checkpoint of {stage} in {run}"
    checks: dict[str, Callable[[Path, str], Finding]] = {
        "responses": responses,
        "graphs": replayed,
        "scored": scored,
        "bfloat16": bfloat16,
    }
    for check, doing in checks.items():
        record.measure(f"{name}{check}_{stage}", partial(doing, folder, record.device))


def whole_run(recipe: Recipe, out: Path) -> Finding:
    """A whole run, its accuracies and the seconds of its stages."""
    found = pipeline.run(recipe, out, Reporter(quiet=True)).summary
    keys = ("greedy_accuracy", "greedy_length_median", "sampled_accuracy", "sampled_long_share", "seconds")
    told = {stage: {key: found[stage][key] for key in keys} for stage in ("pretrain", "posttrain") if stage in found}
    parts = [f"{stage} greedy {one['greedy_accuracy']:.3f} in {one['seconds']:.1f} s" for stage, one in told.items()]
    return told, f"{recipe.name}, {recipe.device} {recipe.dtype}{' compiled' * recipe.compile}: {', '.join(parts)}"


def losses(recipe: Recipe, device: str, out: Path) -> Finding:
    """The same run on both devices, update by update."""
    rows = []
    for own in ("cpu", device):
        run = pipeline.run(recipes.override(recipe, [f"device={own}"]), out / f"on-{own}", Reporter(quiet=True))
        rows.append(RunFolder(run.folder).rows())
    pairs = list(zip(*rows, strict=True))
    updates = {
        stage: [(one, two) for one, two in pairs if one["kind"] == "update" and one["stage"] == stage]
        for stage in ("pretrain", "posttrain")
    }
    rl = updates["posttrain"]
    same = [all(one[key] == two[key] for key in ("reward_mean", "length_mean", "long_share")) for one, two in rl]
    found = {
        "updates": len(updates["pretrain"]),
        "loss_relative_max": relative(updates["pretrain"], "loss"),
        "loss_relative_first": relative(updates["pretrain"][:1], "loss"),
        "grad_norm_relative_max": relative(updates["pretrain"], "grad_norm"),
        "losses_last": [one["loss"] for one in updates["pretrain"][-1]],
        "rl_updates": len(rl),
        "rl_rounds_with_equal_samples": sum(same),
        "rl_loss_difference_max": max(abs(one["loss"] - two["loss"]) for one, two in rl),
        "rl_grad_norm_relative_max": relative(rl, "grad_norm"),
        "rl_logp_error_max": max(two["logp_error_max"] or 0.0 for _, two in rl),
        "accuracy_difference_max": max(
            abs(one["greedy"]["accuracy"] - two["greedy"]["accuracy"])
            for one, two in pairs
            if one["kind"] == "evaluation"
        ),
    }
    found["equal"] = found["loss_relative_max"] < EQUAL
    return found, (
        f"{found['updates']} updates on cpu and {device}, float32: losses differ by {found['loss_relative_max']:.1e} "
        f"relative at most (first {found['loss_relative_first']:.1e}); RL: {sum(same)} of {len(rl)} rounds sample "
        f"alike, gradient norms differ by {found['rl_grad_norm_relative_max']:.1e}; equal: {found['equal']}"
    )


def relative(pairs: list[tuple[dict[str, Any], dict[str, Any]]], key: str) -> float:
    """The largest relative difference of a number of two runs."""
    return max(abs(one[key] - two[key]) / max(abs(one[key]), abs(two[key]), 1e-12) for one, two in pairs)


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
    """What `rollout` samples, without a draft."""
    return sample(
        model,
        task.prompts(PROMPTS, stream(0, "gpu_check/prompts")).to(next(model.parameters()).device),
        eos=task.vocabulary.eos,
        max_tokens=task.long_length + 1,
        group_size=GROUP,
        generator=stream(0, "gpu_check/samples"),
    )


def on_cpu(found: Rollout) -> Rollout:
    """The rollout, its tensors on the CPU."""
    return Rollout(**{name: value.cpu() for name, value in vars(found).items()})


def compare(one: Rollout, two: Rollout) -> tuple[int, float]:
    """(rows that differ, the largest difference of log-probabilities in the others)."""
    width = max(one.responses.shape[1], two.responses.shape[1])

    def padded(x: Tensor, value: float) -> Tensor:
        return torch.nn.functional.pad(x, (0, width - x.shape[1]), value=value)

    ends = int(one.responses.max())
    differs = (padded(one.responses, ends) != padded(two.responses, ends)).any(dim=1)
    differs |= one.num_actions != two.num_actions
    gap = (padded(one.logp, 0.0) - padded(two.logp, 0.0)).abs()[~differs]
    return int(differs.sum()), float(gap.max()) if gap.numel() else 0.0


def responses(folder: Path, device: str) -> Finding:
    """Greedy and sampled responses on both devices."""
    found: dict[str, Any] = {"rows": PROMPTS, "sampled_rows": PROMPTS * GROUP}
    for mode in ("greedy", "sampled"):
        pair = [rollout(*opened(folder, own), greedy=mode == "greedy") for own in ("cpu", device)]
        found[f"{mode}_rows_that_differ"], found[f"{mode}_logp_difference_max"] = compare(*pair)
        found[f"{mode}_length_mean"] = float(pair[1].num_actions.float().mean())
    return found, (
        f"cpu and {device}: {found['greedy_rows_that_differ']} of {PROMPTS} greedy and "
        f"{found['sampled_rows_that_differ']} of {PROMPTS * GROUP} sampled responses differ; log-probabilities of "
        f"equal ones by {found['greedy_logp_difference_max']:.1e} and "
        f"{found['sampled_logp_difference_max']:.1e} at most"
    )


def replayed(folder: Path, device: str) -> Finding:
    """Sampling step by step with graphs, without them, and along drafts."""
    model, task = opened(folder, device)
    usual = on_cpu(step_by_step(model, task))
    with replaying(after=0):
        rows, gap = compare(usual, on_cpu(step_by_step(model, task)))
    other_rows, other_gap = compare(usual, rollout(model, task))
    found = {"rows_that_differ": rows, "logp_difference_max": gap}
    found |= {"rows_that_differ_with_drafts": other_rows, "logp_difference_max_with_drafts": other_gap}
    return found, (
        f"replayed against plain steps on {device}: {rows} of {len(usual.rows)} sampled responses differ, "
        f"log-probabilities by {gap:.1e}; drafts against plain steps {other_rows} and {other_gap:.1e}"
    )


def gaps(folder: Path, machine: Machine) -> Tensor:
    """|sampled - scored| log-probabilities of every sampled token."""
    model, task = opened(folder, machine.device)
    with torch.no_grad(), machine.autocast():
        found = step_by_step(model, task)
        prefix, last = split_prompts(found.prompts)
        again = log_probs(model, model.prefill(prefix), last, found.responses, found.rows)
    return (found.logp - again).abs()[found.mask].cpu()


def scored(folder: Path, device: str) -> Finding:
    """What a sampler records against what a forward pass scores, float32."""
    gap = gaps(folder, Machine(device))
    found = {"logp_difference_max": float(gap.max()), "logp_difference_mean": float(gap.mean()), "tokens": len(gap)}
    return found, f"sampler against scorer on {device}, float32, {len(gap)} tokens: {gap.max():.1e} at most"


def bfloat16(folder: Path, device: str) -> Finding:
    """Loss, and sampler against scorer, in bfloat16."""
    model, task = opened(folder, device)
    batch = mixture.draw(task, headline(tiny=True).mixture, PROMPTS, seed=0, name="gpu_check", step=0)
    values = []
    for dtype in ("float32", "bfloat16"):
        with torch.no_grad(), Machine(device, dtype).autocast():
            values.append(float(next_token.loss(model, batch, "token_mean")[0]))
    gap = gaps(folder, Machine(device, "bfloat16"))
    found: dict[str, Any] = {"losses": values, "loss_relative": abs(values[1] / values[0] - 1)}
    found |= {"logp_difference_max": float(gap.max()), "logp_difference_mean": float(gap.mean())}
    found |= {"tolerance": BFLOAT16}
    found["within"] = found["loss_relative"] < BFLOAT16["loss"] and found["logp_difference_max"] < BFLOAT16["logp"]
    return found, (
        f"bfloat16 on {device}: loss {values[1]:.4f}, in float32 {values[0]:.4f} ({found['loss_relative']:.1e}); "
        f"sampler against scorer {gap.max():.2e} at most, {gap.mean():.1e} on average; "
        f"within tolerance: {found['within']}"
    )


def tests() -> Finding:
    """tests/test_cuda.py but its whole runs, which stand above."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/test_cuda.py", "-k", "not whole_run"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=60)
    lines = done.stdout.strip().splitlines()[-8:]
    return {"status": done.returncode, "output": lines}, f"status {done.returncode}: {lines[-1] if lines else 'silent'}"
