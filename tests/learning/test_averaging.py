import pytest
import torch
from torch import nn

from chainlift.learning import averaging
from chainlift.learning.optimizer import OptimizerSettings, apply_gradients, make_optimizer


def test_the_tail_by_hand() -> None:
    assert [averaging.first_averaged(10, tail) for tail in (0.0, 0.1, 0.5, 1.0)] == [11, 10, 6, 1]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_the_average_counts_and_the_iterates_go_on(kind: str) -> None:
    layer = nn.Linear(2, 1, bias=False)
    settings = OptimizerSettings.model_validate({"optimizer": kind, "lr": 0.1, "schedule": "constant"})
    optimizer = make_optimizer(layer, settings)
    seen = []
    for step in range(5):
        layer.weight.grad = torch.tensor([[1.0, -2.0 + step]])
        apply_gradients(layer, optimizer, settings, step, 5)
        averaging.accumulate(layer, optimizer, step + 1 - 2)
        seen.append(layer.weight.detach().clone())
    expected = torch.stack(seen[2:]).mean(dim=0)
    with averaging.averaged(layer, optimizer, 3):
        torch.testing.assert_close(layer.weight.detach(), expected)
    assert torch.equal(layer.weight, seen[-1])
    averaging.settle(layer, optimizer, 3)
    torch.testing.assert_close(layer.weight.detach(), expected)


def test_nothing_is_averaged_before_the_tail() -> None:
    layer = nn.Linear(2, 1)
    optimizer = make_optimizer(layer, OptimizerSettings(optimizer="sgd"))
    before = layer.weight.detach().clone()
    averaging.accumulate(layer, optimizer, 0)
    with averaging.averaged(layer, optimizer, 0):
        assert torch.equal(layer.weight, before)
    assert not optimizer.state


def test_number_one_forgets_an_earlier_stage() -> None:
    layer = nn.Linear(2, 1)
    optimizer = make_optimizer(layer, OptimizerSettings(optimizer="sgd"))
    averaging.accumulate(layer, optimizer, 1)
    with torch.no_grad():
        layer.weight += 1
    averaging.accumulate(layer, optimizer, 1)
    assert torch.equal(optimizer.state[layer.weight]["average"], layer.weight)
