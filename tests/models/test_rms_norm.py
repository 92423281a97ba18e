"""RMSNorm's own backward pass against that of PyTorch."""

import pytest
import torch
from torch import nn

from chainlift.models.transformer.rms_norm import RMSNorm
from chainlift.seeding import stream


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 3e-2)]
)
def test_output_and_gradients_are_those_of_pytorch(dtype: torch.dtype, tolerance: float) -> None:
    x, slope = (torch.empty(3, 5, 16).normal_(std=2.0, generator=stream(0, name)).to(dtype) for name in ("x", "slope"))
    weight = torch.empty(16).uniform_(0.5, 2.0, generator=stream(0, "weight")).to(dtype)
    results = []
    for kind, wide in ((RMSNorm, dtype), (nn.RMSNorm, torch.float64)):
        norm, inputs = kind(16, 1e-3).to(wide), x.detach().to(wide).clone().requires_grad_()
        with torch.no_grad():
            norm.weight.copy_(weight)
        output = norm(inputs)
        output.backward(slope.to(wide))
        assert norm.weight.grad is not None
        assert inputs.grad is not None
        results.append((output.detach(), inputs.grad, norm.weight.grad))
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == dtype
        assert (ours.double() - theirs).norm() <= tolerance * theirs.norm()
