"""PyTorch's optimizers, schedules and averaged weights with a recipe's settings: parts of the weld (weld.py)."""

from __future__ import annotations

from typing import Any

import torch

from chainlift.learning import averaging
from chainlift.learning.optimizer import OptimizerSettings, rate_scale
from chainlift.stages.kinds.ntp import NextTokenPrediction


class Average:
    """Average of the last weights by torch.optim.swa_utils."""

    def __init__(self, model: Any, settings: NextTokenPrediction, steps: int) -> None:
        window = settings.average_window or steps
        self._first = averaging.first_averaged(steps, settings.average_tail)
        self._averaged = torch.optim.swa_utils.AveragedModel(
            model, avg_fn=lambda mean, new, count: mean + (new - mean) / min(int(count) + 1, window)
        )

    def update(self, model: Any, step: int) -> None:
        """Add the weights after update number `step`, counted from 1."""
        if step >= self._first:
            self._averaged.update_parameters(model)

    def model(self, model: Any) -> Any:
        """The averaged model, or the model itself before anything is averaged."""
        return self._averaged.module if int(self._averaged.n_averaged) else model


def optimizers(model: Any, settings: OptimizerSettings) -> list[torch.optim.Optimizer]:
    """PyTorch's optimizers with the recipe's settings: fused AdamW, and Muon for the blocks' matrices if requested."""
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    matrices = [
        p
        for name, p in model.named_parameters()
        if settings.optimizer == "muon" and p.dim() == 2 and id(p) not in embeddings and "wpe" not in name
    ]
    by_muon = {id(p) for p in matrices}
    by_adamw = [p for p in model.parameters() if id(p) not in by_muon]
    groups = [
        {"params": [p for p in by_adamw if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in by_adamw if p.dim() < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.beta1, settings.beta2), fused=True)
    all_optimizers: list[torch.optim.Optimizer] = [adamw]
    if matrices:
        muon = torch.optim.Muon(
            matrices,
            lr=settings.muon_lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        all_optimizers.append(muon)
    return all_optimizers


def schedule_of(optimizer: torch.optim.Optimizer, settings: OptimizerSettings, total: int) -> Any:
    """The recipe's schedule over `total` steps."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_scale(settings, step, total))
