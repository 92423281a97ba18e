"""AdamW, Muon or plain SGD, with warm-up, decay of the learning rate, gradient clipping and a norm bound on weights.

Muon moves the matrices that the model names (those of a transformer's blocks), and AdamW the rest: embeddings, the head
and vectors. Averages of the iterates are in learning/averaging.py.
"""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from chainlift.learning import master_weights, sharding
from chainlift.learning.muon import Muon
from chainlift.models.model import Model, block_matrices
from chainlift.settings import Settings


class OptimizerSettings(Settings):
    """The optimizer, its learning-rate schedule and its bounds."""

    lr: float = Field(default=1e-3, gt=0)
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the rate decays to zero at the last step; constant: it stays."""
    stable_fraction: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps after the warm-up at the peak rate, before it decays."""
    warmup: int = Field(default=20, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """On matrices only: AdamW's decoupled decay; for sgd c of the penalty c/2 |w|^2 in the loss."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's decay of the gradient's average."""
    beta2: float = Field(default=0.99, ge=0, lt=1)
    """AdamW's decay of the squared gradient's average."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Largest global gradient norm; longer gradients are scaled down to it."""
    optimizer: Literal["adamw", "muon", "sgd"] = Field(default="adamw")
    """muon: Muon for the matrices of a transformer's blocks, AdamW for the rest; sgd: plain, no momentum."""
    muon_lr: float = Field(default=1e-2, gt=0)
    """Muon's peak learning rate; lr is that of AdamW for the rest."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon's decay of the gradient's average."""
    max_row_norm: float | None = Field(default=None, gt=0)
    """After each step every row of a matrix is projected onto the ball of this radius; null: no projection."""


def _spare_dynamo() -> None:
    """Keep PyTorch's optimizers from importing torch._dynamo, which takes seconds of a run's start.

    Their first call imports it only to mark itself as not to be compiled. The mark is an attribute of the wrapped
    function; if another PyTorch names it differently, only time is lost.
    """
    for method in vars(torch.optim.Optimizer).values():
        function = getattr(method, "__wrapped__", None)
        if function is not None and not hasattr(function, "__dynamo_disable"):
            setattr(function, "__dynamo_disable", function)


class Optimizer:
    """One or two of PyTorch's optimizers that update a model's parameters together, with one state."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        """{parameter: averages and step counts by name}."""
        for part in parts:
            part.state = self.state  # pyright: ignore[reportAttributeAccessIssue]
            for group in part.param_groups:
                group["peak"] = group["lr"]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Update all parameters with `scale` times the peak learning rates, and delete their gradients."""
        for group in self.param_groups:
            group["lr"] = scale * group["peak"]
        for part in self.parts:
            inspect.unwrap(type(part).step)(part)  # without its decorators, which import torch._dynamo
        for part in self.parts:
            part.zero_grad(set_to_none=True)


def make_optimizer(model: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """The optimizer that the settings name, fused where possible; vectors (biases, norms) are not decayed.

    Parameters in bfloat16 get new master weights. Frozen parameters are left out.
    """
    _spare_dynamo()
    master_weights.attach(model)
    trained = master_weights.trained(model)
    matrices: dict[str, nn.Parameter] = {}
    if settings.optimizer == "muon":
        by_muon = model.muon_parameters() if isinstance(model, Model) else block_matrices(model)
        matrices = {name: trained[name] for name in by_muon if name in trained}
    rest = [p for name, p in trained.items() if name not in matrices]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        fused = not sharding.is_sharded(model)  # torch lacks the two at once
        return Optimizer(torch.optim.SGD(groups, lr=settings.lr, fused=fused))
    adamw = torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.beta1, settings.beta2), fused=True)
    if not matrices:
        return Optimizer(adamw)
    options = {"lr": settings.muon_lr, "momentum": settings.momentum, "weight_decay": settings.weight_decay}
    return Optimizer(Muon(matrices.values(), **options), adamw)


def rate_scale(settings: OptimizerSettings, step: int, total: int) -> float:
    """The learning rate of update number `step` (from 0) out of `total`, as a share of the peak rate."""
    warm = min((step + 1) / (settings.warmup + 1), 1.0)
    decay_from = settings.warmup + settings.stable_fraction * max(total - settings.warmup, 0)
    progress = min(max(step - decay_from, 0) / max(total - decay_from, 1), 1.0)
    shape = {
        "constant": 1.0,
        "linear": 1 - progress,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
    }[settings.schedule]
    return warm * shape


def apply_gradients(
    model: nn.Module, optimizer: Optimizer, settings: OptimizerSettings, step: int, total: int
) -> dict[str, float]:
    """Clip the gradients and take one step; returns {grad_norm, lr}: the norm before clipping, and the rate.

    lr is that of AdamW or SGD; Muon's is in proportion. Raises FloatingPointError, before any weight changes, if the
    gradient is not finite.
    """
    trained = list(master_weights.trained(model).values())
    norm = float(sharding.full(nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)))
    if not math.isfinite(norm):
        raise FloatingPointError(f"the gradient's norm is {norm}")
    scale = rate_scale(settings, step, total)
    optimizer.step(scale)
    if settings.max_row_norm is not None:
        project(trained, settings.max_row_norm)
    master_weights.round_to_parameters(model)
    return {"grad_norm": norm, "lr": settings.lr * scale}


@torch.no_grad()
def project(parameters: Iterable[Tensor], radius: float) -> None:
    """Scale each row of each matrix with a norm above `radius` down to it; a row makes one output."""
    for parameter in parameters:
        if parameter.dim() == 2:
            norm = parameter.norm(dim=1, keepdim=True).clamp(min=torch.finfo(parameter.dtype).tiny)
            parameter *= (radius / norm).clamp(max=1)
