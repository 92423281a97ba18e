"""Log-probabilities of a large vocabulary in chunks, against all logits at once."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from chainlift.models.logp import token_logp
from chainlift.models.model import Model
from chainlift.models.transformer import chunked_logp, packed_reading
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream

VOCABULARY, WIDTH, POSITIONS = 50, 16, 11


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(hidden, weight, targets, the gradient of the log-probabilities)."""
    generator = stream(0, "inputs")
    hidden = torch.randn(POSITIONS, WIDTH, generator=generator, dtype=torch.float64)
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=torch.float64)
    targets = torch.randint(VOCABULARY, (POSITIONS,), generator=generator)
    slopes = torch.randn(POSITIONS, generator=generator)
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), targets, slopes


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("at_once", [1, 3, 4, 100])
def test_values_and_gradients_equal_those_of_all_logits(
    temperature: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked_logp, "LOGITS_AT_ONCE", at_once * VOCABULARY)
    hidden, weight, targets, slopes = inputs(torch.float32)
    logp = chunked_logp.chunked_logp(hidden, weight, targets, temperature)
    found = torch.autograd.grad(logp, (hidden, weight), slopes)
    exact_hidden, exact_weight, _, _ = inputs()
    all_logp = (exact_hidden @ exact_weight.T / temperature).log_softmax(dim=1)
    exact = all_logp.gather(1, targets[:, None])[:, 0]
    expected = torch.autograd.grad(exact, (exact_hidden, exact_weight), slopes.double())
    torch.testing.assert_close(logp.double(), exact, atol=1e-5, rtol=1e-5)
    for one_gradient, exact_gradient in zip(found, expected, strict=True):
        torch.testing.assert_close(one_gradient.double(), exact_gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("weights", ["bfloat16", "autocast"])
def test_few_bits_cost_what_they_cost_all_logits(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of products in bfloat16, with an exact softmax: about 2^-9 of a gradient's size."""
    monkeypatch.setattr(chunked_logp, "LOGITS_AT_ONCE", 4 * VOCABULARY)
    hidden, weight, targets, slopes = inputs(torch.bfloat16)
    exact_hidden, exact_weight = (t.detach().float().requires_grad_() for t in (hidden, weight))
    exact = token_logp((exact_hidden @ exact_weight.T)[None], targets[None])[0]
    expected = torch.autograd.grad(exact, (exact_hidden, exact_weight), slopes)
    if weights == "autocast":
        hidden, weight = exact_hidden, exact_weight
    with torch.autocast("cpu", torch.bfloat16, enabled=weights == "autocast"):
        logp = chunked_logp.chunked_logp(hidden, weight, targets)
    assert logp.dtype == torch.float32
    assert not torch.equal(logp, exact)
    torch.testing.assert_close(logp, exact, atol=0.1, rtol=0.02)
    for gradient, exact_gradient in zip(torch.autograd.grad(logp, (hidden, weight), slopes), expected, strict=True):
        assert gradient.dtype == weight.dtype
        assert (gradient.float() - exact_gradient).norm() < 0.02 * exact_gradient.norm()


def test_a_frozen_head_has_no_gradient() -> None:
    hidden, weight, targets, slopes = inputs(torch.float32)
    chunked_logp.chunked_logp(hidden, weight.requires_grad_(False), targets).backward(slopes)
    assert hidden.grad is not None
    assert weight.grad is None


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
@pytest.mark.parametrize("has_gradients", [True, False])
def test_a_model_scores_its_large_vocabulary_as_from_logits(
    family: str, has_gradients: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways of reading, where the mask is True, with rows in several passes if there are no gradients."""
    monkeypatch.setattr(packed_reading, "LARGE_VOCABULARY", VOCABULARY - 1)
    monkeypatch.setattr(chunked_logp, "LOGITS_AT_ONCE", 4 * VOCABULARY)
    monkeypatch.setattr("chainlift.models.passes.TOKENS_PER_PASS", {"cpu": 10})
    settings = ModelSettings.model_validate({"family": family, "layers": 2, "width": WIDTH, "heads": 2})
    model = Transformer(settings, VOCABULARY, 9).initialize(stream(0, "model"))
    prefix, suffix, targets = (
        torch.randint(VOCABULARY, shape, generator=stream(0, "tokens", number))
        for number, shape in enumerate([(2, 4), (5, 5), (5, 5)])
    )
    rows, mask = torch.tensor([0, 0, 1, 1, 1]), torch.rand(5, 5, generator=stream(0, "mask")) < 0.5
    sequences = torch.cat([prefix[rows], suffix], dim=1)
    with torch.set_grad_enabled(has_gradients):
        cache = model.prefill(prefix)
        for found, expected in (
            (
                model.suffix_logp(cache, suffix, targets, rows, mask, 0.8),
                Model.suffix_logp(model, cache, suffix, targets, rows, mask, 0.8),
            ),
            (
                model.read_logp(sequences, 4, targets, mask, 0.8),
                Model.read_logp(model, sequences, 4, targets, mask, 0.8),
            ),
            (model.read_logp(sequences, 4, targets)[mask], Model.read_logp(model, sequences, 4, targets)[mask]),
        ):
            picked = slice(None) if found.dim() == 1 else mask
            torch.testing.assert_close(found[picked], expected[picked], atol=1e-5, rtol=1e-5)
            assert found.dim() == 1 or (found[~mask] == 0).all()
            if has_gradients:
                gradients = (
                    torch.autograd.grad(
                        logp[picked].sum(), list(model.parameters()), retain_graph=True, allow_unused=True
                    )
                    for logp in (found, expected)
                )
                for one_gradient, other_gradient in zip(*gradients, strict=True):
                    torch.testing.assert_close(one_gradient, other_gradient, atol=1e-4, rtol=1e-4)


def test_logits_of_all_positions_are_never_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the graph nor an intermediate result has a tensor of positions times vocabulary numbers."""
    monkeypatch.setattr(chunked_logp, "LOGITS_AT_ONCE", 2 * VOCABULARY)
    hidden, weight, targets, slopes = inputs(torch.float32)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor) and result.shape[-1:] == (VOCABULARY,) and len(result) != WIDTH:
                largest = max(largest, result.numel())
            return result

    with Watch():
        chunked_logp.chunked_logp(hidden, weight, targets).backward(slopes)
    assert largest == 2 * VOCABULARY
