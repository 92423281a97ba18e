"""Weights, gradients and the optimizer's averages of a wide model, divided between processes (FSDP2).

At rest each process holds its part of every tensor, and steps are taken on parts. While the model computes (`whole`)
its weights are gathered: all of them once a phase, not block by block, because the processes of one update make
different numbers of passes (buckets of responses, token-by-token decoding), and a gathering inside a pass would wait
for processes that make no such pass. So FSDP2 keeps, gathers and divides the weights, and its hooks around a forward
pass, which the engine's own ways through a model would not meet anyway, have nothing to do; gradients are added up as
without it (parallel.py). AdamW's numbers of a parameter then take 8 + 8 / N bytes in N processes, not 16.

Everything here leaves a model that is not sharded as it is. Source of fully_shard: torch.distributed.fsdp.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor, nn

from chainlift import distributed

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

Some = TypeVar("Some", bound=nn.Module)


def shard(model: Some) -> Some:
    """Self, its weights divided between the processes that work together; ValueError where this one is alone."""
    from torch.distributed.fsdp import fully_shard

    if distributed.world_size() == 1:
        raise ValueError("--shard divides a model between processes: start several of them by torchrun")
    fully_shard(model, mesh=_mesh(next(model.parameters()).device.type), reshard_after_forward=False)
    return model


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """The model with all of its weights inside the block; gradients made there are divided when it ends."""
    if not is_sharded(model):
        yield
        return
    divided = cast("FSDPModule", model)
    divided.unshard()
    gathered = dict(model.named_parameters())
    yield
    divided.reshard()
    for name, parameter in model.named_parameters():
        grad = gathered[name].grad
        gathered[name].grad = None
        if grad is not None:
            parameter.grad = like(parameter, grad)


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be divided; all processes must call it."""
    return cast("DTensor", tensor).full_tensor() if is_divided(tensor) else tensor


def like(parameter: Tensor, value: Tensor) -> Tensor:
    """A whole value divided as the parameter is, if that is divided and of the same shape; nothing is sent."""
    if not is_divided(parameter) or value.shape != parameter.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    divided = cast("DTensor", parameter)
    return distribute_tensor(value, divided.device_mesh, divided.placements, src_data_rank=None)


@torch.no_grad()
def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give the model the weights of a whole state."""
    own = model.state_dict()
    model.load_state_dict({name: like(own[name], value.to(own[name].device)) for name, value in weights.items()})


def is_sharded(model: nn.Module) -> bool:
    """Whether the model's weights are divided."""
    fsdp = sys.modules.get("torch.distributed.fsdp")  # imported by whoever divides; it takes half a second
    return fsdp is not None and isinstance(model, fsdp.FSDPModule)


def is_divided(tensor: Tensor) -> bool:
    """Whether a tensor is divided between processes."""
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(tensor, tensors.DTensor)


@functools.cache
def _mesh(device: str) -> DeviceMesh:
    """All processes in a row."""
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device, (distributed.world_size(),))
