"""Parameters in bfloat16 with float32 masters: training, averages, checkpoints and several processes."""

import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

from chainlift.learning import averaging, master_weights, next_token
from chainlift.learning.optimizer import Optimizer, OptimizerSettings, apply_gradients, make_optimizer
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream
from chainlift.tasks import mixture
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings
from tests.learning.masters_together import train
from tests.stages.launching import ENVIRONMENT, TORCHRUN

TASK = RunningSum(RunningSumSettings(d=4))
SETTINGS = OptimizerSettings(lr=1e-3, schedule="constant", warmup=0)
WORKER = Path(__file__).parent / "masters_together.py"


class Blocks(nn.Module):
    """One matrix of ones, under a name that makes Muon optimize it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Linear(4, 4, bias=False).to(torch.bfloat16)
        nn.init.ones_(self.blocks.weight)


def make(
    settings: OptimizerSettings = SETTINGS, dtype: torch.dtype = torch.bfloat16, seed: int = 0
) -> tuple[Transformer, Optimizer]:
    """A model whose weights are numbers in bfloat16, whatever holds them."""
    model = Transformer(ModelSettings(width=16, heads=2), 3, 9).initialize(stream(seed, "model"))
    model = model.to(torch.bfloat16).to(dtype)
    return model, make_optimizer(model, settings)


def step(model: Transformer, optimizer: Optimizer, number: int, settings: OptimizerSettings = SETTINGS) -> None:
    batch = mixture.draw(TASK, MixtureSettings(p_cot=0.5), 8, seed=0, name="test", step=number)
    next_token.accumulate_gradient(model, batch, "token_mean")
    apply_gradients(model, optimizer, settings, number, 100)


def masters(model: nn.Module) -> list[torch.Tensor]:
    return [master.detach().clone() for master in master_weights.trained(model).values()]


def assert_is_rounded(model: nn.Module) -> None:
    for (name, parameter), master in zip(model.named_parameters(), masters(model), strict=True):
        assert (parameter.dtype, master.dtype) == (torch.bfloat16, torch.float32), name
        assert torch.equal(parameter, master.bfloat16()), name


def assert_same_gradients(model: nn.Module, other: nn.Module) -> None:
    for name, master in master_weights.trained(model).items():
        other_grad = master_weights.trained(other)[name].grad
        assert master.grad is not None
        assert other_grad is not None
        assert torch.equal(master.grad, other_grad), name


@pytest.mark.parametrize("kind", ["adamw", "sgd", "muon"])
def test_steps_too_small_for_the_parameter_add_up(kind: str) -> None:
    """Weights near 1 and 40 steps of 2^-12, of which bfloat16 loses each one."""
    layer = Blocks()
    weight = layer.blocks.weight
    keys = {"optimizer": kind, "lr": 2**-12, "muon_lr": 2**-10, "schedule": "constant", "warmup": 0}
    settings = OptimizerSettings.model_validate({**keys, "weight_decay": 0.0, "max_grad_norm": 100.0})
    optimizer = make_optimizer(layer, settings)
    for number in range(40):
        (weight.float() * torch.eye(4)).sum().backward()
        before = weight.detach().clone()
        apply_gradients(layer, optimizer, settings, number, 40)
        if number == 0:
            assert torch.equal(weight, before)
    assert (weight.diagonal() < 1 - 40 * 2**-14).all()
    assert_is_rounded(layer)


@pytest.mark.parametrize("kind", ["adamw", "sgd", "muon"])
def test_training_goes_where_float32_goes(kind: str) -> None:
    """Without rounding, masters are what float32 trains; passes in bfloat16 turn their updates by a few percent."""
    settings = OptimizerSettings.model_validate({"optimizer": kind, "lr": 1e-3, "schedule": "constant", "warmup": 0})
    (few_bits, optimizer), (exact, exact_optimizer) = make(settings), make(settings, torch.float32)
    before = torch.cat([value.flatten() for value in masters(few_bits)])
    for number in range(10):
        step(few_bits, optimizer, number, settings)
        step(exact, exact_optimizer, number, settings)
    moved, expected = (torch.cat([v.flatten() for v in masters(model)]) - before for model in (few_bits, exact))
    assert (moved - expected).norm() < 0.2 * expected.norm()
    assert_is_rounded(few_bits)


def test_gradients_of_several_passes_are_added_up_in_float32() -> None:
    layer = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    make_optimizer(layer, SETTINGS)
    for slope in (1.0, 2**-10, 2**-10):  # in bfloat16, 1 + 2^-10 is 1
        (layer.weight * slope).sum().backward()
    (master,) = master_weights.trained(layer).values()
    assert master.grad is not None
    assert master.grad.item() == 1 + 2**-9
    assert layer.weight.grad is None


def test_a_new_optimizer_begins_at_the_weights_and_old_hooks_are_gone() -> None:
    model, optimizer = make()
    step(model, optimizer, 0)
    model.load_state_dict(make(seed=1)[0].state_dict())
    optimizer = make_optimizer(model, SETTINGS)
    for parameter, master in zip(model.parameters(), masters(model), strict=True):
        assert torch.equal(parameter.float(), master)
    batch = mixture.draw(TASK, MixtureSettings(p_cot=0.5), 8, seed=0, name="test", step=1)
    next_token.accumulate_gradient(model, batch, "token_mean")
    fresh, _ = make(seed=1)
    next_token.accumulate_gradient(fresh, batch, "token_mean")
    assert_same_gradients(model, fresh)


def test_averages_are_those_of_masters() -> None:
    model, optimizer = make()
    seen = []
    for number in range(4):
        step(model, optimizer, number)
        averaging.accumulate(model, optimizer, number + 1)
        seen.append(masters(model))
    means = [torch.stack(values).mean(dim=0) for values in zip(*seen, strict=True)]
    with averaging.averaged(model, optimizer, 4):
        assert_is_rounded(model)
        for found, mean in zip(masters(model), means, strict=True):
            torch.testing.assert_close(found, mean)
    assert all(torch.equal(one, last) for one, last in zip(masters(model), seen[-1], strict=True))
    assert_is_rounded(model)
    averaging.swap(model, optimizer, 4)
    assert_is_rounded(model)
    averaging.settle(model, optimizer, 4)  # the average is now the last weights
    assert all(torch.equal(one, last) for one, last in zip(masters(model), seen[-1], strict=True))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_going_on_from_a_checkpoint_is_exact(kind: str, tmp_path: Path) -> None:
    settings = OptimizerSettings.model_validate({"optimizer": kind, "lr": 1e-4, "schedule": "constant"})
    model, optimizer = make(settings)
    for number in range(3):
        step(model, optimizer, number, settings)
    folder = checkpoint.save(tmp_path, TrainerState("pretrain", step=3), model, TASK, optimizer)
    other, other_optimizer = make(settings, seed=1)
    checkpoint.restore(folder, other, other_optimizer)
    assert all(torch.equal(a, b) for a, b in zip(masters(model), masters(other), strict=True))
    for number in range(3, 6):
        step(model, optimizer, number, settings)
        step(other, other_optimizer, number, settings)
    assert all(torch.equal(a, b) for a, b in zip(masters(model), masters(other), strict=True))
    assert_is_rounded(other)
    third, _ = make(settings, seed=1)
    checkpoint.load_weights(folder, third)  # a start: masters begin as the weights
    assert all(torch.equal(p.float(), master) for p, master in zip(third.parameters(), masters(third), strict=True))


def test_a_checkpoint_without_its_masters_is_damaged(tmp_path: Path) -> None:
    exact, exact_optimizer = make(dtype=torch.float32)
    step(exact, exact_optimizer, 0)
    folder = checkpoint.save(tmp_path, TrainerState("pretrain", step=1), exact, TASK, exact_optimizer)
    with pytest.raises(ValueError, match=r"optimizer\.safetensors is missing or damaged"):
        checkpoint.restore(folder, *make())


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """They add float32 gradients of shares, whose passes round elsewhere than those of the whole batch."""
    subprocess.run(
        [*TORCHRUN, "2", WORKER, tmp_path], capture_output=True, text=True, timeout=110, env=ENVIRONMENT, check=True
    )
    by_rank = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    assert all(torch.equal(by_rank[0][name], by_rank[1][name]) for name in by_rank[0])
    start, alone = train(steps=0), train()
    moved = torch.cat([(by_rank[0][name] - start[name]).flatten() for name in start])
    expected = torch.cat([(alone[name] - start[name]).flatten() for name in start])
    assert (moved - expected).norm() < 0.05 * expected.norm()
