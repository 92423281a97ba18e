"""Muon against torch.optim.Muon, against the polynomial of singular values, and by hand."""

import pytest
import torch
from torch import nn

from chainlift.learning.muon import COEFFICIENTS, ITERATIONS, Muon, orthogonalized
from chainlift.learning.optimizer import OptimizerSettings, apply_gradients, make_optimizer
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.stages.recipe import load

SHAPES = [(6, 2), (4, 4), (2, 6), (8, 4), (4, 8), (4, 8)]


def parameters(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    found = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    for step, parameter in enumerate(found):
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 10.0 ** (step - 3)
    return found


def test_it_is_torchs_muon_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)  # torch's iterations convert by this method
    own, theirs = parameters(), parameters()
    ours = Muon(own, lr=0.02, momentum=0.9, weight_decay=0.1)
    reference = torch.optim.Muon(theirs, lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        fresh = parameters(seed=step)  # another direction each time, so that the momentum has one of its own
        for optimizer in (ours, reference):
            for parameter, other in zip(optimizer.param_groups[0]["params"], fresh, strict=True):
                parameter.grad = other.grad
            optimizer.step()
        for one, other in zip(own, theirs, strict=True):
            torch.testing.assert_close(one, other)
            momenta = ours.state[one]["momentum_buffer"], reference.state[other]["momentum_buffer"]
            torch.testing.assert_close(*momenta)


@pytest.mark.parametrize("shape", [(2, 5), (4, 4), (3, 16)])
def test_singular_values_follow_the_polynomial_and_vectors_stay(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(3, *shape, generator=generator) * torch.tensor([1e-4, 1.0, 1e4])[:, None, None]
    found = orthogonalized(matrices)
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    values = values / matrices.double().norm(dim=(1, 2))[:, None]
    for _ in range(ITERATIONS):
        a, b, c = COEFFICIENTS
        values = a * values + b * values**3 + c * values**5
    torch.testing.assert_close(found.double(), left * values[:, None] @ right, atol=1e-5, rtol=1e-4)
    assert ((values > 0.6) & (values < 1.25)).all()


def test_the_first_step_by_hand() -> None:
    """Of a gradient of rank 1, s u v^T, the step is the polynomial of 1 times u v^T, .2 sqrt(4) times the rate."""
    parameter = nn.Parameter(torch.ones(2, 4))
    parameter.grad = 7 * torch.outer(torch.tensor([0.6, 0.8]), torch.tensor([0.5, 0.5, -0.5, 0.5]))
    direction = parameter.grad / 7
    Muon([parameter], lr=0.1, momentum=0.95, weight_decay=0.5).step()
    size = 1.0
    for _ in range(ITERATIONS):
        a, b, c = COEFFICIENTS
        size = a * size + b * size**3 + c * size**5
    torch.testing.assert_close(parameter.detach(), 1 - 0.1 * 0.5 - 0.1 * 0.2 * 2 * size * direction)


def test_a_gradient_of_zero_moves_nothing_and_a_missing_one_is_no_parameter() -> None:
    still, missing = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(2, 3))
    still.grad = torch.zeros(2, 3)
    optimizer = Muon([still, missing], lr=0.1, momentum=0.95, weight_decay=0.0)
    optimizer.step()
    assert torch.equal(still, torch.ones(2, 3))
    assert missing not in optimizer.state


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_muon_moves_matrices_of_blocks_and_adamw_the_rest(family: str) -> None:
    settings = ModelSettings.model_validate({"family": family, "layers": 2, "width": 8, "heads": 2})
    model = Transformer(settings, 4, 6).initialize(stream(0, "model"))
    chosen = OptimizerSettings(optimizer="muon", lr=0.1, muon_lr=0.5, warmup=0, schedule="linear", max_grad_norm=1e9)
    optimizer = make_optimizer(model, chosen)
    for step in range(2):
        model.logits(
            model.prefill(torch.zeros(2, 3, dtype=torch.long)), torch.ones(2, 2, dtype=torch.long)
        ).sum().backward()
        assert apply_gradients(model, optimizer, chosen, step, 2)["lr"] == pytest.approx(0.1 * (1 - step / 2))
        assert all(parameter.grad is None for parameter in model.parameters())
    muon, adamw = optimizer.parts
    assert (muon.param_groups[0]["lr"], adamw.param_groups[0]["lr"]) == (0.25, 0.05)
    for name, parameter in model.named_parameters():
        by_muon = name.startswith("blocks.") and name.endswith(".weight") and "norm" not in name
        assert ("momentum_buffer" in optimizer.state[parameter]) == by_muon, name
        assert ("exp_avg" in optimizer.state[parameter]) != by_muon, name


def test_the_linear_model_has_no_blocks() -> None:
    for stage in ("pretrain", "posttrain"):
        with pytest.raises(ValueError, match="muon needs the matrices of blocks; family linear has none"):
            load("linear-star", [f"{stage}.optimizer=muon"])
