"""Each saving of the transformer switched off gives equal logits and gradients."""

import pytest
import torch
from torch import Tensor

from chainlift.models import savings
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer, positions_from
from chainlift.seeding import stream

ROWS, LENGTH, START, VOCABULARY = 24, 9, 5, 4


def make(family: str, layers: int) -> Transformer:
    settings = ModelSettings.model_validate({"family": family, "layers": layers, "width": 16, "heads": 4})
    model = Transformer(settings, VOCABULARY, LENGTH).initialize(stream(0, "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model


def logits_and_gradients(model: Transformer, sequences: Tensor) -> list[Tensor]:
    logits = model.read(sequences, START)
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
@pytest.mark.parametrize("off", [("lookup",), ("suffix only",), ("lookup", "suffix only")])
def test_reading_sequences_without_a_saving_is_equal(family: str, layers: int, off: tuple[str, ...]) -> None:
    model = make(family, layers)
    sequences = torch.randint(VOCABULARY, (ROWS, LENGTH), generator=stream(0, "tokens"))
    usual = logits_and_gradients(model, sequences)
    projected = model.embed(sequences, positions_from(0, sequences)).projected
    assert projected is not None, "the test needs a batch for which looking up pays"
    with savings.without(*off):
        other = logits_and_gradients(model, sequences)
        assert ("lookup" in off) == (model.embed(sequences, positions_from(0, sequences)).projected is None)
    for one, two in zip(usual, other, strict=True):
        torch.testing.assert_close(one, two, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_a_small_batch_is_not_looked_up_and_reads_the_same(family: str) -> None:
    model = make(family, 2)
    sequences = torch.randint(VOCABULARY, (ROWS, LENGTH), generator=stream(0, "tokens"))
    single = sequences[:1, :3]
    assert model.embed(single, positions_from(0, single)).projected is None
    torch.testing.assert_close(model.read(single, 1)[0], model.read(sequences[:, :3], 1)[0], atol=1e-5, rtol=1e-5)


def test_names_are_checked_and_what_is_off_comes_back() -> None:
    with pytest.raises(ValueError, match="'speed' is no saving; known: suffix only, buckets"), savings.without("speed"):
        pass
    with savings.without("drafts"):
        with savings.without("lookup"):
            assert not savings.on("drafts")
            assert not savings.on("lookup")
        assert savings.on("lookup")
    with pytest.raises(ValueError, match="'speed' is no saving"), savings.using("speed"):
        pass
    with savings.using("cuda graphs"):
        assert savings.on("cuda graphs")
        with savings.without(*savings.SAVINGS):
            assert not any(savings.on(name) for name in savings.SAVINGS)
        assert savings.on("cuda graphs")
    assert {name for name in savings.SAVINGS if not savings.on(name)} == set(savings.UNPROVEN)
