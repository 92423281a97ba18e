"""Muon: momentum with orthogonalized steps, for the matrices of a transformer's blocks.

Of the momentum's singular value decomposition U S V^T the step keeps about U V^T, so that directions with small
gradients move as far as those with large ones. Five Newton-Schulz iterations compute it:

    X <- a X + b (X X^T) X + c (X X^T)^2 X

with coefficients that bring singular values between about .7 and 1.2 rather than to 1 (Jordan et al. 2024, "Muon"). The
step is .2 sqrt(max(rows, columns)) times the rate, which gives it the root mean square of AdamW's usual steps (Liu et
al., arXiv 2502.16982).

torch.optim.Muon with adjust_lr_fn="match_rms_adamw" computes the same, as a test shows. This one orthogonalizes all
matrices of one shape together, in float32 on a CPU (many CPUs lack bfloat16 products). It works on sharded weights
(sharding.py) by gathering the momentum: the iterations need whole matrices.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from chainlift.learning import sharding

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon over matrices (A, B) with Nesterov momentum; weight decay is decoupled and scaled by the rate."""

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            lr = group["lr"]
            for parameters, updates in _by_shape(self._updates(group)):
                for parameter, step in zip(parameters, orthogonalized(updates), strict=True):
                    if step.shape != parameter.shape:
                        step = step.T
                    parameter.mul_(1 - lr * group["weight_decay"])
                    size = 0.2 * math.sqrt(max(parameter.shape))
                    parameter.add_(sharding.like(parameter, step.to(parameter.dtype)), alpha=-lr * size)

    def _updates(self, group: dict[str, Any]) -> dict[nn.Parameter, Tensor]:
        """Each parameter's whole update before orthogonalization: Nesterov's mean of momentum and gradient."""
        updates = {}
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter.grad)
            state["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
            updates[parameter] = sharding.full(parameter.grad.lerp(state["momentum_buffer"], group["momentum"]))
        return updates


def orthogonalized(matrices: Tensor) -> Tensor:
    """About U V^T (N, A, B) for matrices (N, A, B), A <= B, with singular value decompositions U S V^T.

    Computed in bfloat16 on a GPU, else in float32. Singular values end between about .7 and 1.2; those below about a
    thousandth of the norm stay smaller.
    """
    a, b, c = COEFFICIENTS
    x = matrices.to(torch.bfloat16 if matrices.device.type == "cuda" else torch.float32)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _by_shape(updates: dict[nn.Parameter, Tensor]) -> Iterator[tuple[list[nn.Parameter], Tensor]]:
    """(the N parameters of one shape, their updates (N, A, B)); tall updates are transposed, so that A <= B."""
    groups: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
    for parameter, update in updates.items():
        wide = update.T if update.shape[0] > update.shape[1] else update
        groups[wide.shape].append((parameter, wide))
    for pairs in groups.values():
        yield [parameter for parameter, _ in pairs], torch.stack([update for _, update in pairs])
