"""Float32 masters of parameters in bfloat16: the numbers that an optimizer updates.

A number in bfloat16 has 8 significant bits, so that a step smaller than about a 500th of it is lost. Optimizers, means
of iterates and checkpoints therefore use a parameter's master, and the parameter is the master, rounded. Gradients are
added up in float32 too: after each backward pass a hook adds the parameter's gradient to its master's.

A master is an attribute of its parameter. Parameters in float32 are their own masters.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from chainlift.learning import sharding

LOW = (torch.bfloat16, torch.float16)
MASTER = "master"


def attach(model: nn.Module) -> None:
    """Give each trained parameter of low precision a master with its value.

    ValueError if a sharded model needs masters, or has frozen weights.
    """
    if sharding.is_sharded(model) and any(not p.requires_grad or p.dtype in LOW for p in model.parameters()):
        raise ValueError("--shard divides weights that are in float32 and all trained; leave it out")
    for parameter in model.parameters():
        if not parameter.requires_grad or parameter.dtype not in LOW:
            continue
        if not hasattr(parameter, MASTER):  # its hook uses whatever master it has
            parameter.register_post_accumulate_grad_hook(_add_to_master)
        setattr(parameter, MASTER, nn.Parameter(parameter.detach().float()))


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The tensors that an optimizer updates, by name: trained parameters, or their masters."""
    return {name: getattr(p, MASTER, p) for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def round_to_parameters(model: nn.Module) -> None:
    """Set each parameter to its master, rounded."""
    for parameter, master in _pairs(model):
        parameter.copy_(master)


@torch.no_grad()
def begin(model: nn.Module) -> None:
    """Set each master to its parameter, whose value comes from elsewhere."""
    for parameter, master in _pairs(model):
        master.copy_(parameter)


def _pairs(model: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
    """Parameters that have masters, with these."""
    for parameter in model.parameters():
        if hasattr(parameter, MASTER):
            yield parameter, getattr(parameter, MASTER)


def _add_to_master(parameter: Tensor) -> None:
    """Move the gradient to the master's, which adds up in float32."""
    master, grad = getattr(parameter, MASTER), parameter.grad
    assert grad is not None
    master.grad = grad.float() if master.grad is None else master.grad.add_(grad)
    parameter.grad = None
