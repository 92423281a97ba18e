"""Comparison of a finished run's models before and after RL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from chainlift.measure.divergence import kl_by_position
from chainlift.measure.evaluate import ROWS_AT_ONCE, answer
from chainlift.measure.statistics import pass_at_k
from chainlift.models.model import Model
from chainlift.runs import checkpoint, stage_views
from chainlift.runs.store import RunFolder
from chainlift.seeding import stream
from chainlift.stages import inspect
from chainlift.tasks.base import Task, held_out


@dataclass(frozen=True)
class BeforeAfter:
    """Differences between the models before and after RL."""

    kl: tuple[float, ...]
    """KL(after || before) in nats at each output position, see measure/divergence.py."""
    reached: tuple[float, ...]
    """Share of the samples that reach each position."""
    before: dict[int, float]
    """pass@k by k, before RL."""
    after: dict[int, float]
    """pass@k by k, after it."""


def before_after(folder: Path, *, prompts: int = 256, samples: int = 16, seed: int = 0) -> BeforeAfter:
    """Compare the models on evaluation prompts of streams that no run uses; ValueError if a checkpoint is missing."""
    stages = stage_views.of_recipe(RunFolder(folder).recipe())
    stage = next((stage for stage in stages if "algorithm" in stage.settings), None)
    if stage is None or stage.start is None:
        raise ValueError(f"{folder} has no RL that begins with another stage")
    base, task = _model(folder, stage.start, stage.start_step)
    policy, _ = _model(folder, stage.name)
    asked_prompts = held_out(task).prompts(prompts, stream(seed, "before-after/prompts"))
    kl, reached = kl_by_position(policy, base, task, asked_prompts, stream(seed, "before-after/samples"))
    curves = [_pass_at_k(model, task, asked_prompts, samples, seed) for model in (base, policy)]
    return BeforeAfter(tuple(kl.tolist()), tuple((reached / prompts).tolist()), *curves)


def _model(folder: Path, stage: str, step: int | None = None) -> tuple[Model, Task]:
    kept = checkpoint.steps(folder / "checkpoints", stage)
    checkpoint_folder = kept.get(max(kept, default=0) if step is None else step)
    if checkpoint_folder is None:
        raise ValueError(f"{folder} has no checkpoint of {stage}; it must be the folder of a finished run with RL")
    return inspect.load(checkpoint_folder)


def _pass_at_k(model: Model, task: Task, prompts: torch.Tensor, samples: int, seed: int) -> dict[int, float]:
    """Unbiased pass@k estimates at powers of two up to the number of samples."""
    draws = stream(seed, "before-after/pass-at-k")
    right = []
    for chunk in prompts.split(max(ROWS_AT_ONCE // samples, 1)):
        answers = answer(model, task, chunk, group_size=samples, generator=draws)
        right.append(answers.verdict.answer_correct.view(len(chunk), -1).sum(dim=1).cpu())
    ks = [2**i for i in range(samples.bit_length()) if 2**i <= samples]
    return pass_at_k(torch.cat(right).numpy(), samples, ks)
