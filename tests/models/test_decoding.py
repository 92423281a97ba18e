"""Decoding with fixed shapes, as GPUs replay it: equal to the usual one, and without any wait for the device."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from chainlift.models.transformer import decoding
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.decoding import TransformerDecoder
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream

PROMPT, RESPONSE, VOCABULARY = 6, 5, 4


def make(family: str) -> Transformer:
    settings = ModelSettings.model_validate({"family": family, "layers": 2, "width": 16, "heads": 4})
    model = Transformer(settings, VOCABULARY, PROMPT + RESPONSE).initialize(stream(0, "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model


def decoder(model: Transformer, prefix: torch.Tensor, group_size: int, *, fixed_shapes: bool) -> TransformerDecoder:
    cache = model.prefill(prefix)
    found = TransformerDecoder(model.layers, model.embed, model.read_out, cache, RESPONSE, fixed_shapes=fixed_shapes)
    found.spread(group_size)
    return found


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
@pytest.mark.parametrize("group_size", [1, 3])
def test_fixed_shapes_give_equal_logits_also_when_rows_leave(family: str, group_size: int) -> None:
    model = make(family)
    prefix = torch.randint(VOCABULARY, (7, PROMPT), generator=stream(0, "prefix"))
    tokens = torch.randint(VOCABULARY, (7 * group_size, RESPONSE), generator=stream(0, "tokens"))
    with torch.no_grad():
        usual, fixed = (decoder(model, prefix, group_size, fixed_shapes=is_fixed) for is_fixed in (False, True))
        for column in range(RESPONSE):
            if column == 3:
                kept = torch.arange(0, len(tokens), 2)
                usual.keep(kept)
                fixed.keep(kept)
                tokens = tokens[kept]
            expected, found = usual.step(tokens[:, column]), fixed.step(tokens[:, column])
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fixed_shapes", [False, True])
@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_rows_spread_after_some_steps_go_on_as_if_they_had_been_several_from_the_start(
    family: str, fixed_shapes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "FIRST_ROOM", 1)  # so the buffers grow twice
    model = make(family)
    prefix = torch.randint(VOCABULARY, (3, PROMPT), generator=stream(0, "prefix"))
    tokens = torch.randint(VOCABULARY, (6, RESPONSE), generator=stream(0, "tokens"))
    tokens[:, :2] = tokens[::2, :2].repeat_interleave(2, dim=0)
    with torch.no_grad():
        early = decoder(model, prefix, 2, fixed_shapes=fixed_shapes)
        late = decoder(model, prefix, 1, fixed_shapes=fixed_shapes)
        for column in range(RESPONSE):
            expected = early.step(tokens[:, column])
            if column < 2:
                found = late.step(tokens[::2, column]).repeat_interleave(2, dim=0)
            else:
                found = late.step(tokens[:, column])
            if column == 1:
                late.spread(2)
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_a_step_never_waits_for_values(family: str) -> None:
    """Fake tensors have no values: whatever needed one on the CPU (a count, a mask as an index) would raise."""
    with FakeTensorMode() as mode, torch.no_grad():
        model = make_fake(family)
        one = decoder(model, torch.zeros(7, PROMPT, dtype=torch.long), 3, fixed_shapes=True)
        tokens = torch.zeros(21, dtype=torch.long)
        for _ in range(RESPONSE):
            tokens = one.step(tokens).argmax(dim=-1)
        logits = one.read_out(torch.zeros(21, 1, 16))[:, 0]
        assert logits.shape == (21, VOCABULARY)
        assert mode is not None
        with pytest.raises(DataDependentOutputException):  # the check can fail
            int(logits.sum())


def make_fake(family: str) -> Transformer:
    settings = ModelSettings.model_validate({"family": family, "layers": 2, "width": 16, "heads": 4})
    return Transformer(settings, VOCABULARY, PROMPT + RESPONSE)
