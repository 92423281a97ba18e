"""Low-rank adapters: a frozen model learns only a low-rank change of the matrices in its blocks.

    W x  becomes  W x + alpha / rank * B (A x),   A (rank, in) drawn at random, B (out, rank) zero at first

(Hu et al. 2021, arXiv 2106.09685.) Adapters are in float32 even if W is in bfloat16. A saved model is merged: its
matrices are W + alpha / rank * B A, in W's precision, and it has no adapters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from chainlift.settings import Settings

IN, OUT = "adapter_in", "adapter_out"


class LoraSettings(Settings):
    """Low-rank adapters (LoRA), trained instead of all weights."""

    rank: int = Field(default=16, ge=1)
    """Rank of each adapter."""
    alpha: float = Field(default=32.0, gt=0)
    """An adapter's output is scaled by alpha / rank."""


class AdaptedLinear(nn.Linear):
    """A frozen linear layer with an adapter."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.scale = alpha / rank
        # Drawn on the CPU, so that the numbers do not depend on the device.
        initial = torch.empty(rank, self.in_features).normal_(std=self.in_features**-0.5, generator=generator)
        self.adapter_in = nn.Parameter(initial.to(layer.weight.device))
        self.adapter_out = nn.Parameter(torch.zeros(self.out_features, rank, device=layer.weight.device))
        self.register_load_state_dict_pre_hook(self._begin)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return self.rows(input, slice(None))

    def rows(self, input: Tensor, rows: slice) -> Tensor:
        """Only the given rows of the output."""
        base = F.linear(input, self.weight[rows], None if self.bias is None else self.bias[rows])
        inside = F.linear(input.to(self.adapter_in.dtype), self.adapter_in)
        return (base + self.scale * F.linear(inside, self.adapter_out[rows])).to(base.dtype)

    def merged(self) -> Tensor:
        """The matrix that computes the same, a new tensor."""
        change = self.scale * (self.adapter_out.detach() @ self.adapter_in.detach())
        return (self.weight.detach() + change).to(self.weight.dtype)

    def kept(self) -> tuple[float, float]:
        """(inner product of the stored change with the learned one, that of the learned one with itself)."""
        change = self.scale * (self.adapter_out.detach() @ self.adapter_in.detach())
        stored = self.merged().float() - self.weight.detach().float()
        return float((stored * change).sum()), float((change * change).sum())

    def _begin(self, _: nn.Module, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Let the adapter begin at zero if the weights to be loaded have none, as those of a merged model."""
        if prefix + OUT not in state_dict:
            state_dict[prefix + IN] = self.adapter_in.detach()
            state_dict[prefix + OUT] = torch.zeros_like(self.adapter_out)


def add_adapters(model: nn.Module, rank: int, alpha: float, generator: torch.Generator) -> None:
    """Freeze the model and give each linear layer of its submodule `blocks` an adapter.

    ValueError if the rank is not below the width of every layer, or if there are no such layers.
    """
    layers = [(name, module) for name, module in _linear(model) if name.startswith("blocks.")]
    if not layers:
        raise ValueError("adapters change linear layers of blocks, and the model has none")
    check_rank(rank, min(min(layer.weight.shape) for _, layer in layers))
    model.requires_grad_(False)
    for name, layer in layers:
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, AdaptedLinear(layer, rank, alpha, generator))


def check_rank(rank: int, narrowest: int) -> None:
    """Raise a one-line ValueError if adapters of this rank are not narrower than the narrowest layer."""
    if rank >= narrowest:
        raise ValueError(f"model.lora.rank must be below {narrowest}, the width of a layer (got {rank})")


def has_adapters(model: nn.Module) -> bool:
    """Whether the model has adapters."""
    return any(isinstance(layer, AdaptedLinear) for _, layer in _linear(model))


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter."""
    return name.endswith((f".{IN}", f".{OUT}"))


def merged(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of the same model without adapters; their matrices are new tensors."""
    state = {name: value for name, value in model.state_dict().items() if not is_adapter(name)}
    adapted = ((name, layer) for name, layer in _linear(model) if isinstance(layer, AdaptedLinear))
    return state | {f"{name}.weight": layer.merged() for name, layer in adapted}


def share_kept(model: nn.Module) -> float:
    """The share of what the adapters learned that the merged model holds: 1 but for rounding to its weights' type.

    It is the projection of the stored change on the learned one. A change far below half a step of bfloat16 is not
    stored; one near it is stored with noise, which this share does not show.
    """
    stored, learned = 0.0, 0.0
    for _, layer in _linear(model):
        if isinstance(layer, AdaptedLinear):
            stored_here, learned_here = layer.kept()
            stored, learned = stored + stored_here, learned + learned_here
    return stored / learned if learned else 1.0


def _linear(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Linear layers by name."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            yield name, module
