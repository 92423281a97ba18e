"""The transformer against itself: causal, and the same whether read whole, in two parts, or token by token."""

import pytest
import torch
from torch import Tensor

from chainlift.models.protocol import split_prompts
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream

FAMILIES = ["gpt2", "mistral"]
PROMPT, RESPONSE, VOCABULARY = 6, 5, 4


def make(family: str, **keys: int) -> Transformer:
    settings = ModelSettings.model_validate({"family": family, "layers": 3, "width": 16, "heads": 4, **keys})
    model = Transformer(settings, VOCABULARY, PROMPT + RESPONSE).initialize(stream(0, "model"))
    with torch.no_grad():  # larger than at the start, so that attention is far from uniform and an error shows
        for parameter in model.parameters():
            parameter += 0.3 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model


def tokens(rows: int, length: int, name: str = "tokens") -> Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=stream(0, name))


def whole(model: Transformer, sequence: Tensor) -> Tensor:
    """Logits at every position, with an empty prefix: a plain forward pass."""
    return model.logits(model.prefill(sequence[:, :0]), sequence)


@pytest.mark.parametrize("family", FAMILIES)
def test_initial_weights_have_the_spread_that_is_claimed(family: str) -> None:
    """Matrices N(0, 1/fan in), embeddings N(0, 1), biases 0, norms 1. The estimate of a standard deviation from n
    values has a relative error of (2n)^-.5; six of those over some 30 matrices alarm falsely once in 10^7.
    """
    settings = ModelSettings.model_validate({"family": family, "layers": 2, "width": 64, "heads": 4})
    model = Transformer(settings, 50, 60).initialize(stream(0, "model"))
    seen = 0
    for name, value in model.named_parameters():
        if value.dim() == 1:
            assert (value == (0 if name.endswith("bias") else 1)).all(), name
            continue
        std = 1.0 if name in ("embedding.weight", "positions.weight") else value.shape[1] ** -0.5
        assert abs(value.std().item() / std - 1) < 6 * (2 * value.numel()) ** -0.5, name
        assert abs(value.mean().item() / std) < 6 * value.numel() ** -0.5, name
        seen += 1
    assert seen == {"gpt2": 11, "mistral": 10}[family]  # 4 a block, the head, the embeddings


@pytest.mark.parametrize("family", FAMILIES)
def test_no_position_sees_a_later_one(family: str) -> None:
    model, sequence = make(family), tokens(2, PROMPT + RESPONSE)
    before = whole(model, sequence)
    for position in range(1, PROMPT + RESPONSE):
        changed = sequence.clone()
        changed[:, position] = (changed[:, position] + 1) % VOCABULARY
        after = whole(model, changed)
        assert torch.equal(before[:, :position], after[:, :position])
        assert not torch.allclose(before[:, position:], after[:, position:])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefix_length", [0, 1, PROMPT - 1])
def test_prefix_and_suffix_equal_the_whole(family: str, prefix_length: int) -> None:
    model, sequence = make(family), tokens(3, PROMPT + RESPONSE)
    parts = model.logits(model.prefill(sequence[:, :prefix_length]), sequence[:, prefix_length:])
    torch.testing.assert_close(parts, whole(model, sequence)[:, prefix_length:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_that_share_a_prefix_equal_rows_with_their_own(family: str) -> None:
    model, prefix = make(family), tokens(2, PROMPT)
    rows, suffix = torch.tensor([1, 0, 1, 1]), tokens(4, RESPONSE, "suffix")
    shared = model.logits(model.prefill(prefix), suffix, rows)
    own = model.logits(model.prefill(prefix[rows]), suffix)
    torch.testing.assert_close(shared, own, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_sharing_a_prefix_leaves_the_gradient_as_it_is(family: str) -> None:
    prefix, rows, suffix = tokens(2, PROMPT), torch.tensor([1, 0, 1, 1]), tokens(4, RESPONSE, "suffix")
    gradients = []
    for shared in (True, False):
        model = make(family)
        cache = model.prefill(prefix if shared else prefix[rows])
        model.logits(cache, suffix, rows if shared else None).logsumexp(dim=-1).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("group_size", [1, 3])
def test_decoding_equals_the_forward_pass_while_rows_leave(family: str, group_size: int) -> None:
    model, prompts = make(family), tokens(2, PROMPT)
    prefix, last = split_prompts(prompts)
    rows = torch.arange(2).repeat_interleave(group_size)
    responses = tokens(len(rows), RESPONSE, "responses")
    suffix = torch.cat([last[rows], responses[:, :-1]], dim=1)
    cache = model.prefill(prefix)
    expected = model.logits(cache, suffix, rows)
    decoder, alive = model.decoder(cache, RESPONSE), torch.arange(len(rows))
    decoder.spread(group_size)
    for t in range(RESPONSE):
        with torch.no_grad():
            found = decoder.step(suffix[alive, t])
        torch.testing.assert_close(found, expected[alive, t], atol=1e-5, rtol=1e-5)
        if t in (1, 3) and len(alive) > 1:
            kept = torch.arange(len(alive))[t % 2 :: 2] if t == 3 else torch.arange(1, len(alive))
            decoder.keep(kept)
            alive = alive[kept]


def test_grouped_queries_use_fewer_key_value_heads() -> None:
    model = make("mistral", kv_heads=1)
    cache = model.prefill(tokens(2, PROMPT))
    assert cache.layers[0][0].shape == (2, 1, PROMPT, 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_block_does_only_keys_and_values_on_the_prefix(family: str) -> None:
    """Its MLP, its output matrix and the final norm must not run there at all."""
    model, calls = make(family), []
    for name in ("mlp", "attention.out", "mlp_norm"):
        module = model.layers[-1].get_submodule(name)
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    model.norm.register_forward_hook(lambda *_: calls.append("norm"))
    model.prefill(tokens(2, PROMPT))
    assert calls == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"width": 15, "heads": 4}, "multiple of heads"),
        ({"family": "mistral", "heads": 4, "kv_heads": 3}, "must divide heads"),
        ({"family": "gpt2", "heads": 4, "kv_heads": 2}, "must equal heads"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(keys: dict[str, int | str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ModelSettings.model_validate(keys)


def test_initialisation_is_fixed_by_the_seed() -> None:
    one, same = (Transformer(ModelSettings(), 3, 9).initialize(stream(0, "model")) for _ in range(2))
    other = Transformer(ModelSettings(), 3, 9).initialize(stream(1, "model"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embedding.weight, other.embedding.weight)
