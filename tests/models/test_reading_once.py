"""Reading sequences with the first block looked up, and the last one at their last positions alone, changes nothing."""

import pytest
import torch
from torch import Tensor

from chainlift.models.transformer import embedding
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.embedding import positions_from
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream

ROWS, LENGTH, START, VOCABULARY = 24, 9, 5, 4


def make(family: str, layers: int) -> Transformer:
    settings = ModelSettings.model_validate({"family": family, "layers": layers, "width": 16, "heads": 4})
    model = Transformer(settings, VOCABULARY, LENGTH).initialize(stream(0, "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model


def gradients(model: Transformer, logits: Tensor) -> list[Tensor]:
    """The logits (B, LENGTH - START, V), and the parameters' gradients of a fixed combination of them."""
    assert logits.shape == (ROWS, LENGTH - START, VOCABULARY)
    model.zero_grad()
    (logits * torch.empty_like(logits).normal_(generator=stream(0, "weights"))).sum().backward()
    found = [logits.detach()]
    for parameter in model.parameters():
        assert parameter.grad is not None
        found.append(parameter.grad.clone())
    return found


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("looked_up", "last_only"), [(True, False), (False, True), (False, False)])
def test_reading_sequences_is_equal_to_reading_all_of_them(
    family: str, layers: int, looked_up: bool, last_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(family, layers)
    sequences = torch.randint(VOCABULARY, (ROWS, LENGTH), generator=stream(0, "tokens"))
    assert model.embed(sequences, positions_from(0, sequences)).projected is not None, "looking up must pay here"
    usual = gradients(model, model.read(sequences, START))
    if not looked_up:
        monkeypatch.setattr(embedding, "LOOKUP_FROM", 10**9)
        assert model.embed(sequences, positions_from(0, sequences)).projected is None
    whole = model.prefill(sequences[:, :0])
    plain = model.read(sequences, START) if last_only else model.logits(whole, sequences)[:, START:]
    for one, two in zip(usual, gradients(model, plain), strict=True):
        torch.testing.assert_close(one, two, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_a_small_batch_is_not_looked_up_and_reads_the_same(family: str) -> None:
    model = make(family, 2)
    sequences = torch.randint(VOCABULARY, (ROWS, LENGTH), generator=stream(0, "tokens"))
    single = sequences[:1, :3]
    assert model.embed(single, positions_from(0, single)).projected is None
    torch.testing.assert_close(model.read(single, 1)[0], model.read(sequences[:, :3], 1)[0], atol=1e-5, rtol=1e-5)
