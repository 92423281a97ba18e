"""Low-rank adapters: what they compute, what is trained, and how such a model is saved and comes back."""

from pathlib import Path

import pytest
import torch
from torch import nn

from chainlift.learning import averaging, master_weights, next_token, parallel
from chainlift.learning.optimizer import Optimizer, OptimizerSettings, apply_gradients, make_optimizer
from chainlift.models import lora
from chainlift.models.hub import model_folder
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream
from chainlift.tasks import mixture
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings

TASK = RunningSum(RunningSumSettings(d=4))
SETTINGS = OptimizerSettings(lr=1e-2, schedule="constant", warmup=0)
FAMILIES = ["gpt2", "mistral"]
ADAPTED = {
    "gpt2": ["attention.qkv", "attention.out", "mlp.up", "mlp.down"],
    "mistral": ["attention.qkv", "attention.out", "mlp.gate_up", "mlp.down"],
}
RANK, ALPHA = 2, 6.0


def plain(family: str = "gpt2", dtype: torch.dtype = torch.float32) -> Transformer:
    settings = ModelSettings.model_validate({"family": family, "width": 16, "heads": 4})
    return Transformer(settings, 3, 9).initialize(stream(0, "model")).to(dtype)


def make(family: str = "gpt2", dtype: torch.dtype = torch.float32, *, trained: bool = False) -> Transformer:
    """A model with adapters; `trained`: ones that change something."""
    model = plain(family, dtype)
    lora.add_adapters(model, RANK, ALPHA, stream(0, "adapters"))
    for name, parameter in model.named_parameters() if trained else ():
        if name.endswith(lora.OUT):
            parameter.data.normal_(std=0.3, generator=stream(0, name))
    return model


def step(model: Transformer, optimizer: Optimizer, number: int, settings: OptimizerSettings = SETTINGS) -> None:
    batch = mixture.draw(TASK, MixtureSettings(p_cot=0.5), 8, seed=0, name="test", step=number)
    next_token.accumulate_gradient(model, batch, "token_mean")
    parallel.sum_gradients(model)
    apply_gradients(model, optimizer, settings, number, 100)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_layer_computes_what_the_formula_says() -> None:
    layer = nn.Linear(4, 6)
    adapted = lora.AdaptedLinear(layer, RANK, ALPHA, stream(0, "adapter"))
    x = torch.randn(5, 4, generator=stream(0, "x"))
    assert torch.equal(adapted(x), layer(x))
    adapted.adapter_out.data.normal_(generator=stream(0, "out"))
    expected = x @ layer.weight.T + layer.bias + 3.0 * (x @ adapted.adapter_in.T @ adapted.adapter_out.T)
    torch.testing.assert_close(adapted(x), expected)
    torch.testing.assert_close(adapted.rows(x, slice(1, 4)), expected[:, 1:4])
    torch.testing.assert_close(x @ adapted.merged().T + layer.bias, expected)


def test_a_layer_computes_what_pefts_does() -> None:
    peft = pytest.importorskip("peft")
    layer = nn.Linear(4, 6)
    module = nn.Sequential(layer)
    adapted = lora.AdaptedLinear(layer, RANK, ALPHA, stream(0, "adapter"))
    adapted.adapter_out.data.normal_(generator=stream(0, "out"))
    theirs = peft.get_peft_model(module, peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["0"]))
    weights = dict(theirs.named_parameters())
    weights["base_model.model.0.lora_A.default.weight"].data.copy_(adapted.adapter_in)
    weights["base_model.model.0.lora_B.default.weight"].data.copy_(adapted.adapter_out)
    x = torch.randn(5, 4, generator=stream(0, "x"))
    torch.testing.assert_close(adapted(x), theirs(x))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_layer_of_a_block_is_adapted_and_nothing_else_is_trained(family: str) -> None:
    model = make(family, torch.bfloat16)
    layers = [f"blocks.{block}.{name}" for block in range(2) for name in ADAPTED[family]]
    expected = {f"{layer}.{name}" for layer in layers for name in (lora.IN, lora.OUT)}
    trained = master_weights.trained(model)
    assert set(trained) == expected
    assert {parameter.dtype for parameter in trained.values()} == {torch.float32}
    assert model.head.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_that_begin_change_nothing_and_merged_ones_compute_the_same(family: str) -> None:
    tokens = torch.randint(3, (5, 9), generator=stream(0, "tokens"))

    def logits(model: Transformer) -> list[torch.Tensor]:
        """Both ways of reading, each with its own paths through the last block."""
        return [model.read(tokens, 3), model.logits(model.prefill(tokens[:, :3]), tokens[:, 3:])]

    for found, expected in zip(logits(make(family)), logits(plain(family)), strict=True):
        assert torch.equal(found, expected)
    model, merged = make(family, trained=True), plain(family)
    merged.load_state_dict(merged.from_hub(model.to_hub()))
    for found, expected in zip(logits(merged), logits(model), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(found, plain(family).read(tokens, 3), atol=0.1)


@pytest.mark.parametrize("kind", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_moves_adapters_only(kind: str, dtype: torch.dtype) -> None:
    settings = OptimizerSettings.model_validate(
        {"optimizer": kind, "lr": 1e-2, "schedule": "constant", "warmup": 0, "max_row_norm": 100.0}
    )
    model = make(dtype=dtype)
    optimizer, before = make_optimizer(model, settings), state_of(model)
    for number in range(3):
        step(model, optimizer, number, settings)
        averaging.accumulate(model, optimizer, number + 1)
    averaging.settle(model, optimizer, 3)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != lora.is_adapter(name), name
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stage_that_is_killed_goes_on_exactly(dtype: torch.dtype, tmp_path: Path) -> None:
    """The base comes from the stage's start, the adapters and the optimizer's state from its checkpoint."""
    start = checkpoint.save(tmp_path, TrainerState("pretrain"), plain(dtype=dtype), TASK, None)

    def begin() -> tuple[Transformer, Optimizer]:
        model = make(dtype=dtype)
        checkpoint.load_weights(start, model)
        return model, make_optimizer(model, SETTINGS)

    model, optimizer = begin()
    for number in range(3):
        step(model, optimizer, number)
    folder = checkpoint.save(tmp_path, TrainerState("posttrain", step=3), model, TASK, optimizer)
    other, other_optimizer = begin()
    assert checkpoint.restore(folder, other, other_optimizer).step == 3
    assert_equal(state_of(other), state_of(model))
    for number in range(3, 6):
        step(model, optimizer, number)
        step(other, other_optimizer, number)
    assert_equal(state_of(other), state_of(model))


def test_a_checkpoint_is_the_merged_model_for_whoever_starts_from_it(tmp_path: Path) -> None:
    model = make(trained=True)
    folder = checkpoint.save(tmp_path, TrainerState("pretrain"), model, TASK, make_optimizer(model, SETTINGS))
    opened, _ = model_folder.load(folder)
    assert_equal(state_of(opened), {name: value.clone() for name, value in lora.merged(model).items()})
    next_stage, evaluated = make(trained=True), make(trained=True)
    checkpoint.load_weights(folder, next_stage)
    checkpoint.restore(folder, evaluated, None)
    for found in (next_stage, evaluated):
        assert_equal(lora.merged(found), state_of(opened))
        adapters = {name: value for name, value in found.state_dict().items() if lora.is_adapter(name)}
        assert all((value == 0).all() == name.endswith(lora.OUT) for name, value in adapters.items())


def test_what_is_merged_is_new() -> None:
    model = make(trained=True)
    before = state_of(model)
    for value in lora.merged(model).values():
        if value.dim() == 2 and value.shape != model.embedding.weight.shape:
            assert all(value.data_ptr() != parameter.data_ptr() for parameter in model.blocks.parameters())
    assert_equal(state_of(model), before)


def test_what_cannot_be_adapted_is_refused() -> None:
    with pytest.raises(ValueError, match="the model has none"):
        lora.add_adapters(nn.Sequential(nn.Linear(4, 4)), RANK, ALPHA, stream(0, "adapters"))
    with pytest.raises(ValueError, match=r"must be below 16, the width of a layer \(got 16\)"):
        lora.add_adapters(plain(), 16, ALPHA, stream(0, "adapters"))
