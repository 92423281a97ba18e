"""AdamW or plain SGD, with warm-up, a schedule that may decay to zero, gradient clipping and a ball for the weights.

The same for both stages. Averages of the iterates are in learning/averaging.py.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from chainlift.learning import sharding
from chainlift.settings import LATER, Settings


class OptimiserSettings(Settings):
    """How gradients become steps."""

    lr: float = Field(default=1e-3, gt=0)
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the rate decays to zero at the last step; constant: not at all."""
    hold: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps after the warm-up during which the peak rate is held before it decays."""
    warmup: int = Field(default=20, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """On matrices only: AdamW's decoupled decay; for sgd c of the penalty c/2 |w|^2 in the loss."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's decay of the gradient's average."""
    beta2: float = Field(default=0.99, ge=0, lt=1)
    """AdamW's decay of the squared gradient's average."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest global gradient norm; longer gradients are scaled down to it."""
    optimiser: Literal["adamw", "sgd"] = Field(default="adamw", json_schema_extra=LATER)
    """sgd: plain, no momentum; its steps are the gradient times the rate."""
    max_row_norm: float | None = Field(default=None, gt=0, json_schema_extra=LATER)
    """After each step every row of a matrix is projected onto the ball of this radius; null: no projection."""


def learning_rate(settings: OptimiserSettings, step: int, total: int) -> float:
    """The learning rate of update number `step` (from 0) out of `total`."""
    warm = min((step + 1) / (settings.warmup + 1), 1.0)
    decay_from = settings.warmup + settings.hold * max(total - settings.warmup, 0)
    progress = min(max(step - decay_from, 0) / max(total - decay_from, 1), 1.0)
    shape = {
        "constant": 1.0,
        "linear": 1 - progress,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
    }[settings.schedule]
    return settings.lr * warm * shape


def make_optimiser(model: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name, fused where it can be; vectors (biases, norms) are not decayed."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            groups, lr=settings.lr, fused=not sharding.is_sharded(model)
        )  # torch lacks the two at once
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.beta1, settings.beta2), fused=True)


def apply_gradients(
    model: nn.Module, optimiser: torch.optim.Optimizer, settings: OptimiserSettings, step: int, total: int
) -> dict[str, float]:
    """{grad_norm, lr} of the step taken: the gradient's norm before clipping, and the rate used.

    Raises FloatingPointError, and leaves the weights alone, when the gradient is not finite.
    """
    norm = float(sharding.full(nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)))
    if not math.isfinite(norm):
        raise FloatingPointError(f"the gradient's norm is {norm}")
    lr = learning_rate(settings, step, total)
    for group in optimiser.param_groups:
        group["lr"] = lr
    optimiser.step()
    if settings.max_row_norm is not None:
        project(model, settings.max_row_norm)
    optimiser.zero_grad(set_to_none=True)
    return {"grad_norm": norm, "lr": lr}


@torch.no_grad()
def project(model: nn.Module, radius: float) -> None:
    """Scale each row of each matrix that is longer than `radius` back onto the ball; a row is what makes one output."""
    for parameter in model.parameters():
        if parameter.dim() == 2:
            norm = parameter.norm(dim=1, keepdim=True).clamp(min=torch.finfo(parameter.dtype).tiny)
            parameter *= (radius / norm).clamp(max=1)
