"""Draws from a large vocabulary, against the plain inverse transform in float64."""

import pytest
import torch
from torch import Tensor

from chainlift.learning import draws
from chainlift.learning.draws import BLOCK, LARGE_VOCABULARY, draw
from chainlift.seeding import stream

SIZES = [LARGE_VOCABULARY + 1, 40 * BLOCK]
ROWS = 64


def make_logits(size: int, spread: float = 3.0) -> Tensor:
    return spread * torch.randn(ROWS, size, generator=stream(0, "logits"))


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("size", SIZES)
def test_a_draw_is_the_exact_inverse_transform(size: int, temperature: float) -> None:
    """The cumulative probability jumps over the uniform number at the token. Float32 rounds a probability by 2^-24 of
    itself and a sum of 256 by a few times that, so that a number may fall at most 1e-6 on the wrong side of a jump.
    """
    logits, misses = make_logits(size), 0
    for repetition in range(20):
        uniform = torch.rand(ROWS, generator=stream(0, "uniform", repetition))
        result = draw(logits, uniform, temperature)
        exact = (logits.double() / temperature).log_softmax(dim=-1)
        up_to = exact.exp().cumsum(dim=-1)
        at = up_to.gather(1, result.tokens[:, None])[:, 0]
        before = at - exact.exp().gather(1, result.tokens[:, None])[:, 0]
        assert (at > uniform - 1e-6).all()
        assert (before <= uniform + 1e-6).all()
        misses += int(((at <= uniform) | (before > uniform)).sum())
        torch.testing.assert_close(
            result.logp.double(), exact.gather(1, result.tokens[:, None])[:, 0], rtol=0, atol=1e-5
        )
        torch.testing.assert_close(result.entropy.double(), -(exact.exp() * exact).sum(dim=-1), rtol=0, atol=1e-5)
    assert misses <= 2  # of 1,280; none was seen


@pytest.mark.parametrize("size", SIZES)
def test_greedy_takes_the_first_of_the_most_likely(size: int) -> None:
    logits = make_logits(size).round()  # rounded, so that several are equally likely
    result = draw(logits, None, 1.0)
    assert torch.equal(result.tokens, logits.argmax(dim=-1))
    assert ((logits == logits.amax(dim=-1, keepdim=True)).sum(dim=-1) > 1).any()


@pytest.mark.parametrize("size", SIZES)
def test_no_token_without_probability_is_drawn(size: int) -> None:
    """At both ends of the unit interval, where whole blocks, and the ends of others, have no probability."""
    logits = torch.full((4, size), float("-inf"))
    allowed = [700, 701, 3000, size - BLOCK - 5]
    logits[:, allowed] = 0.0
    uniform = torch.tensor([0.0, 0.25, 0.5, 1 - 2**-24])
    result = draw(logits, uniform, 1.0)
    assert result.tokens.tolist() == allowed
    torch.testing.assert_close(result.logp, torch.full((4,), 0.25).log())


def test_small_and_large_vocabularies_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, uniform = make_logits(1000), torch.rand(ROWS, generator=stream(0, "uniform"))
    for numbers in (uniform, None):
        small = draw(logits, numbers, 0.8)
        with monkeypatch.context() as patch:
            patch.setattr(draws, "LARGE_VOCABULARY", 999)
            large = draw(logits, numbers, 0.8)
        assert torch.equal(small.tokens, large.tokens)
        torch.testing.assert_close(small.logp, large.logp)
        torch.testing.assert_close(small.entropy, large.entropy)
