"""A row with masked padding at its left equals the row alone, however it is read, and gradients know no padding."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import PRESETS
from chainlift.learning.rollout import sample
from chainlift.models import passes
from chainlift.models.left_padding import cut
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer import attention, llama
from chainlift.models.transformer.decoding import TransformerDecoder
from chainlift.models.transformer.llama import Llama
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.seeding import stream
from tests.models.tiny_text import PAD, padded

LENGTHS, RESPONSE, VOCABULARY = [7, 1, 4, 6, 2], 5, 23
ROWS = torch.tensor([1, 0, 1, 3, 4, 2, 2])


def make(**keys: Any) -> Llama:
    settings = LlamaSettings.model_validate({"layers": 3, "width": 32, "heads": 4, "kv_heads": 2, **keys})
    model = Llama(settings, VOCABULARY, 32).initialize(stream(0, "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.15 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    model.padding = PAD
    return model


def alone(model: Llama, prompt: Tensor, real: int, response: Tensor) -> Tensor:
    """Logits (1, R, V) of one row that has never been padded."""
    model.padding = None
    logits = model.read(torch.cat([prompt[-real:], response[:-1]])[None], real - 1)
    model.padding = PAD
    return logits


@pytest.fixture(params=["products", "kernel"])
def either_attention(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "kernel":
        monkeypatch.setattr(attention, "_max_product_positions", lambda dtype: 0)


@pytest.fixture
def responses() -> Tensor:
    return torch.randint(VOCABULARY, (len(ROWS), RESPONSE), generator=stream(0, "responses"))


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kv_heads", [2, 4])
@pytest.mark.parametrize("columns", [7, 9])
@pytest.mark.usefixtures("either_attention")
@torch.no_grad()
def test_all_ways_to_read_equal_rows_alone(
    layers: int, kv_heads: int, columns: int, responses: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(passes.TOKENS_PER_PASS, "cpu", 24)  # several passes
    model, prompts = make(layers=layers, kv_heads=kv_heads), padded(LENGTHS, VOCABULARY, columns)
    expected = torch.cat([alone(model, prompts[i], LENGTHS[i], responses[n]) for n, i in enumerate(ROWS.tolist())])
    prefix, last = split_prompts(prompts)
    suffix = torch.cat([last[ROWS], responses[:, :-1]], dim=1)
    cache = model.prefill(prefix)
    assert cache.layers[0][0].shape[2] == max(LENGTHS) - 1, "columns of padding only are cut off"
    assert cache.padding is not None
    assert cache.padding.tolist() == [max(LENGTHS) - real for real in LENGTHS]
    torch.testing.assert_close(model.logits(cache, suffix, ROWS), expected, atol=1e-5, rtol=1e-5)
    whole = model.read(torch.cat([prefix[ROWS], suffix], dim=1), prefix.shape[1])
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=1e-5)
    first = model.logits(cache, last)
    torch.testing.assert_close(first[ROWS, 0], expected[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fixed_shapes", [False, True])
@torch.no_grad()
def test_the_decoder_carries_the_padding_while_rows_spread_and_leave(fixed_shapes: bool) -> None:
    model, prompts, group = make(), padded(LENGTHS, VOCABULARY), 3
    rows = torch.arange(len(LENGTHS)).repeat_interleave(group)
    tokens = torch.randint(VOCABULARY, (len(rows), RESPONSE), generator=stream(0, "tokens"))
    expected = torch.cat([alone(model, prompts[i], LENGTHS[i], tokens[n]) for n, i in enumerate(rows.tolist())])
    prefix, last = split_prompts(prompts)
    decoder = TransformerDecoder(
        model.layers, model.embed, model.read_out, model.prefill(prefix), RESPONSE, fixed_shapes=fixed_shapes
    )
    first = decoder.step(last[:, 0])
    torch.testing.assert_close(first[rows], expected[:, 0], atol=1e-5, rtol=1e-5)
    decoder.spread(group)
    alive = torch.arange(len(rows))
    for t in range(1, RESPONSE):
        logits = decoder.step(tokens[alive, t - 1])
        torch.testing.assert_close(logits, expected[alive, t], atol=1e-5, rtol=1e-5)
        if t in (2, 3):
            kept = torch.arange(0, len(alive), 2)
            decoder.keep(kept)
            alive = alive[kept]


def gradient(model: Llama, loss: Callable[[], Tensor]) -> list[Tensor]:
    model.zero_grad()
    loss().backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.usefixtures("either_attention")
def test_gradients_are_the_sum_of_those_of_rows_alone(
    shared: bool, responses: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In double precision, rotations included: else a row's positions, which padding shifts, round differently."""

    def exactly(position: Tensor, frequency: Tensor) -> tuple[Tensor, Tensor]:
        angle = torch.outer(position.double(), frequency.double()).repeat(1, 2)
        return angle.cos(), angle.sin()

    monkeypatch.setattr(llama, "rotation_by", exactly)
    model, prompts = make().double(), padded(LENGTHS, VOCABULARY, 9)
    prefix, last = split_prompts(prompts)
    suffix = torch.cat([last[ROWS], responses[:, :-1]], dim=1)

    def rows_alone() -> Tensor:
        logits = [alone(model, prompts[i], LENGTHS[i], responses[n]) for n, i in enumerate(ROWS.tolist())]
        return torch.cat(logits).logsumexp(dim=-1).square().sum()

    def together() -> Tensor:
        if shared:
            logits = model.logits(model.prefill(prefix), suffix, ROWS)
        else:
            logits = model.read(torch.cat([prefix[ROWS], suffix], dim=1), prefix.shape[1])
        return logits.logsumexp(dim=-1).square().sum()

    expected, gradients = gradient(model, rows_alone), gradient(model, together)
    assert len(gradients) == len(list(model.parameters()))
    for actual, alone_gradient in zip(gradients, expected, strict=True):
        assert actual.isfinite().all()
        torch.testing.assert_close(actual, alone_gradient, atol=1e-10, rtol=1e-10)


def test_a_policy_update_of_padded_prompts_is_that_of_each_prompt_alone() -> None:
    """Sampling and the update together, with prompts that share one prefill, against unpadded prompts one by one."""
    model, group = make(), 4
    prompts = padded([4, 2], VOCABULARY, 6)
    keys: dict[str, Any] = {"eos": 1, "max_tokens": RESPONSE, "group_size": group}
    rollout = sample(model, prompts, generator=stream(0, "samples"), **keys)
    advantages, weights = torch.linspace(-1, 1, 2 * group), torch.full((2 * group,), 0.25)
    preset = PRESETS["grpo"]
    model.zero_grad()
    accumulate_gradient(model, PolicyBatch(rollout, advantages, weights, on_policy=True), preset, temperature=1.0)
    together = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    for number, real in enumerate([4, 2]):
        part = slice(number * group, (number + 1) * group)
        single = sample(
            model, prompts[number : number + 1, -real:], generator=stream(0, "samples"), shard=(number, 2), **keys
        )
        width = single.responses.shape[1]
        assert torch.equal(single.responses, rollout.responses[part, :width])
        torch.testing.assert_close(single.logp, rollout.logp[part, :width], atol=1e-5, rtol=1e-5)
        batch = PolicyBatch(single, advantages[part], weights[part], on_policy=True)
        accumulate_gradient(model, batch, preset, temperature=1.0)
    for actual, parameter in zip(together, model.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(actual, parameter.grad, atol=2e-5, rtol=2e-5)


@torch.no_grad()
def test_prompts_of_one_token_have_an_empty_prefix() -> None:
    model, prompts = make(), padded([1, 1, 1], VOCABULARY, 4)
    prefix, last = split_prompts(prompts)
    cache = model.prefill(prefix)
    assert (cache.layers[0][0].shape[2], cache.padding) == (0, None)
    expected = torch.cat([alone(model, prompt, 1, prompt[-1:]) for prompt in prompts])
    torch.testing.assert_close(model.logits(cache, last), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.read(prompts, 3), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.decoder(cache, 2).step(last[:, 0]), expected[:, 0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_without_padded_rows_there_is_no_mask_and_every_bit_stays() -> None:
    model, sequences = make(), padded([7, 7, 7], VOCABULARY)
    assert model.prefill(sequences).padding is None
    masking = model.read(sequences, 6), model.logits(model.prefill(sequences[:, :6]), sequences[:, 6:])
    model.padding = None
    plain = model.read(sequences, 6), model.logits(model.prefill(sequences[:, :6]), sequences[:, 6:])
    assert all(torch.equal(a, b) for a, b in zip(masking, plain, strict=True))


def test_only_tokens_before_the_first_other_one_are_padding() -> None:
    tokens = torch.tensor([[0, 0, 5, 0, 6], [0, 0, 0, 7, 0]])
    shorter, padding = cut(tokens, 4, 0)
    assert shorter.tolist() == [[5, 0, 6], [0, 7, 0]]
    assert padding is not None
    assert padding.tolist() == [0, 1]
    assert cut(tokens, 4, None) == (tokens, None)
    assert cut(tokens, 0, 0)[1] is None
    shorter, padding = cut(tokens, 2, 0)
    assert (shorter.shape[1], padding) == (3, None)
