import subprocess
import sys

import pytest
import torch
from torch import nn

from chainlift.learning.optimizer import OptimizerSettings, apply_gradients, make_optimizer, rate_scale


def test_schedules_by_hand() -> None:
    def rates(steps: list[int], **keys: object) -> list[float]:
        settings = OptimizerSettings.model_validate({"lr": 2.0, "warmup": 3, **keys})
        return [2.0 * rate_scale(settings, step, 13) for step in steps]

    assert rates([0, 1, 2, 3, 12], schedule="constant") == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    assert rates([3, 8, 13], schedule="linear") == pytest.approx([2.0, 1.0, 0.0])
    assert rates([3, 8, 13], schedule="cosine") == pytest.approx([2.0, 1.0, 0.0], abs=1e-12)
    assert rates([3, 8, 10, 11, 13], schedule="linear", stable_fraction=0.5) == pytest.approx([2.0, 2.0, 1.2, 0.8, 0.0])


def test_long_gradients_are_cut_and_the_norm_before_is_told() -> None:
    layer = nn.Linear(2, 1, bias=False)
    settings = OptimizerSettings(lr=0.1, warmup=0, schedule="constant", weight_decay=0.0, max_grad_norm=1.0)
    optimizer = make_optimizer(layer, settings)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    told = apply_gradients(layer, optimizer, settings, 0, 10)
    assert told == {"grad_norm": pytest.approx(5.0), "lr": 0.1}
    average = optimizer.state[layer.weight]["exp_avg"]
    torch.testing.assert_close(average, 0.1 * torch.tensor([[0.6, 0.8]]))


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone() -> None:
    layer = nn.Linear(2, 1)
    settings = OptimizerSettings()
    optimizer = make_optimizer(layer, settings)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.tensor([[float("nan"), 0.0]])
    with pytest.raises(FloatingPointError, match="nan"):
        apply_gradients(layer, optimizer, settings, 0, 10)
    assert torch.equal(before, layer.weight)


def test_only_matrices_are_decayed() -> None:
    optimizer = make_optimizer(nn.Linear(3, 2), OptimizerSettings(weight_decay=0.3))
    assert [(group["weight_decay"], [p.dim() for p in group["params"]]) for group in optimizer.param_groups] == [
        (0.3, [2]),
        (0.0, [1]),
    ]


def test_plain_sgd_is_the_gradient_of_loss_and_penalty_times_the_rate() -> None:
    layer = nn.Linear(2, 1)
    settings = OptimizerSettings(
        optimizer="sgd", lr=0.5, warmup=0, schedule="constant", weight_decay=0.1, max_grad_norm=9.0
    )
    optimizer = make_optimizer(layer, settings)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0, 4.0]]), torch.tensor([2.0])
    apply_gradients(layer, optimizer, settings, 0, 10)
    torch.testing.assert_close(layer.weight.detach(), weight - 0.5 * (torch.tensor([[3.0, 4.0]]) + 0.1 * weight))
    torch.testing.assert_close(layer.bias.detach(), bias - 1.0)


def test_long_rows_are_projected_onto_the_ball_and_short_ones_stay() -> None:
    layer = nn.Linear(2, 3)
    settings = OptimizerSettings(optimizer="sgd", lr=1.0, warmup=0, schedule="constant", max_row_norm=1.0)
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    with torch.no_grad():
        layer.weight.copy_(rows)
        layer.bias.fill_(7.0)
    layer.weight.grad = torch.zeros_like(rows)
    layer.bias.grad = torch.zeros(3)
    apply_gradients(layer, make_optimizer(layer, settings.model_copy(update={"weight_decay": 0.0})), settings, 0, 10)
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    assert layer.bias.tolist() == [7.0] * 3


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
def test_an_optimizer_does_not_import_the_compiler(kind: str) -> None:
    """torch._dynamo takes seconds to import; this fails where PyTorch no longer keeps its mark as it did."""
    code = f"""
import sys, torch
from chainlift.learning.optimizer import OptimizerSettings, apply_gradients, make_optimizer
model = torch.nn.ModuleDict({{"blocks": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 2)}})
settings = OptimizerSettings(optimizer={kind!r})
optimizer = make_optimizer(model, settings)
model["head"](model["blocks"](torch.ones(1, 2))).sum().backward()
apply_gradients(model, optimizer, settings, 0, 2)
sys.exit("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
