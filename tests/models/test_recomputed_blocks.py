"""Blocks that the backward pass computes again, and the size of a pass."""

import pytest
import torch

from chainlift.models.passes import MAX_TOKENS
from chainlift.models.transformer import activations
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.stages import recipe as recipes

SMOLLM2 = {"family": "mistral", "layers": 30, "width": 576, "heads": 9, "kv_heads": 3, "mlp_width": 1536}


def make(family: str) -> Transformer:
    settings = ModelSettings.model_validate({"family": family, "layers": 3, "width": 16, "heads": 4})
    return Transformer(settings, 5, 20).initialize(stream(0, "model"))


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
@pytest.mark.parametrize("way", ["whole", "in two parts"])
def test_gradients_are_equal_and_less_is_kept(family: str, way: str) -> None:
    model, tokens = make(family), torch.randint(5, (3, 12), generator=stream(0, "tokens"))
    results, kept = [], []
    for model.recompute_blocks in (False, True):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, to=sizes: (to.append(t.numel()), t)[1], lambda t: t):
            if way == "whole":
                logp = model.read_logp(tokens[:, :-1], 5, tokens[:, 6:])
            else:
                logp = model.suffix_logp(model.prefill(tokens[:, :5]), tokens[:, 5:-1], tokens[:, 6:])
        kept.append(sum(sizes))
        results.append([logp, *torch.autograd.grad(logp.sum(), list(model.parameters()))])
    assert all(torch.equal(plain, again) for plain, again in zip(*results, strict=True))
    assert kept[1] < kept[0] / 2


def test_without_gradients_nothing_changes() -> None:
    model, tokens = make("gpt2"), torch.randint(5, (3, 12), generator=stream(0, "tokens"))
    with torch.no_grad():
        expected = model.read(tokens, 0)
        model.recompute_blocks = True
        assert torch.equal(model.read(tokens, 0), expected)


def test_symbols_are_read_in_passes_of_the_usual_size() -> None:
    names = recipes.shipped()
    checked = 0
    for name in names:
        settings = recipes.load(name).model
        if isinstance(settings, ModelSettings):
            assert activations.tokens_per_pass(settings, 4, recomputes=False) == MAX_TOKENS, name
            checked += 1
    assert checked > 3


def test_large_models_take_fewer_tokens_a_pass() -> None:
    settings = ModelSettings.model_validate(SMOLLM2)
    whole, halved, again = (
        activations.tokens_per_pass(settings, number_bytes, recomputes=recomputes)
        for number_bytes, recomputes in ((4, False), (2, False), (4, True))
    )
    assert 1000 < whole < halved < again == MAX_TOKENS
    assert whole * activations.numbers_per_token(settings, recomputes=False) * 4 <= activations.ACTIVATION_BYTES


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_the_estimate_is_what_a_pass_keeps(family: str) -> None:
    """At a short length, where scores are few, and without a table of the first block's projection."""
    settings = ModelSettings.model_validate({"family": family, "layers": 4, "width": 64, "heads": 4, "kv_heads": 4})
    model = Transformer(settings, 400, 16)
    tokens, storages = torch.zeros(8, 16, dtype=torch.long), {}
    parameters = {parameter.data_ptr() for parameter in model.parameters()}

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in parameters:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda t: t):
        model.read(tokens, 0)
    measured = sum(storage.nbytes() for storage in storages.values()) / 4 / tokens.numel()
    assert measured == pytest.approx(activations.numbers_per_token(settings, recomputes=False), rel=0.25)
