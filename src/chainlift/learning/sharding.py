"""Weights, gradients and optimizer states of a wide model, sharded between processes by FSDP2.

At rest each process holds its shard of every tensor, and the optimizer updates shards. While the model computes
(`whole`) all weights are gathered, once a phase. They are not gathered block by block, because the processes of one
update make different numbers of passes (buckets of responses, token-by-token decoding), and a gather within a pass
would wait for processes that make no such pass. So FSDP2 keeps, gathers and shards the weights, and its hooks around a
forward pass are not used; gradients are summed as without it (parallel.py). AdamW's numbers of a parameter then take
8 + 8 / N bytes in N processes instead of 16.

Every function leaves a model that is not sharded as it is. Source of fully_shard: torch.distributed.fsdp.
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

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def shard(model: AnyModule) -> AnyModule:
    """Shard the model's weights between all processes and return it; ValueError if there is only one process."""
    from torch.distributed.fsdp import fully_shard

    if distributed.world_size() == 1:
        raise ValueError("--shard divides a model between processes: start several of them by torchrun")
    fully_shard(model, mesh=_mesh(next(model.parameters()).device.type), reshard_after_forward=False)
    return model


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Gather all weights inside the block; gradients made there are sharded when it ends."""
    if not is_sharded(model):
        yield
        return
    sharded = cast("FSDPModule", model)
    sharded.unshard()
    gathered = dict(model.named_parameters())
    yield
    sharded.reshard()
    for name, parameter in model.named_parameters():
        grad = gathered[name].grad
        gathered[name].grad = None
        if grad is not None:
            parameter.grad = like(parameter, grad)


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded; all processes must call it."""
    return cast("DTensor", tensor).full_tensor() if is_divided(tensor) else tensor


def like(parameter: Tensor, value: Tensor) -> Tensor:
    """Shard a whole value as the parameter is, if that is sharded and of the same shape; nothing is sent."""
    if not is_divided(parameter) or value.shape != parameter.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    sharded = cast("DTensor", parameter)
    return distribute_tensor(value, sharded.device_mesh, sharded.placements, src_data_rank=None)


@torch.no_grad()
def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load the weights of a whole state into the model."""
    state = model.state_dict()
    model.load_state_dict({name: like(state[name], value.to(state[name].device)) for name, value in weights.items()})


def is_sharded(model: nn.Module) -> bool:
    """Whether the model's weights are sharded."""
    fsdp = sys.modules.get("torch.distributed.fsdp")  # `shard` imports it, which takes half a second
    return fsdp is not None and isinstance(model, fsdp.FSDPModule)


def is_divided(tensor: Tensor) -> bool:
    """Whether a tensor is sharded between processes."""
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(tensor, tensors.DTensor)


@functools.cache
def _mesh(device: str) -> DeviceMesh:
    """A one-dimensional mesh of all processes."""
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device, (distributed.world_size(),))
