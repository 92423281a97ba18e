import pytest
import torch

from chainlift.learning import next_token
from chainlift.learning.next_token import LossWeighting
from chainlift.models import families
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.tasks import mixture
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings
from tests.learning import plain_engine


def assert_as_plain(
    model: Transformer, batch: mixture.MixtureBatch, weighting: LossWeighting
) -> dict[str, float | None]:
    """The metrics of a loss that equals, with its gradient, that of a padded user."""
    loss, _ = next_token.loss(model, batch, weighting)
    metrics = next_token.accumulate_gradient(model, batch, weighting)
    ours = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    expected = plain_engine.next_token_loss(model, batch, weighting, model.vocabulary_size - 1)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    assert metrics["loss"] == pytest.approx(float(expected.detach()), rel=1e-5)
    for one, parameter in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, atol=1e-6, rtol=1e-4)
    return metrics


@pytest.mark.parametrize("weighting", ["token_mean", "sequence_mean", "sequence_sum"])
@pytest.mark.parametrize("p_cot", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("max_tokens", [20, 10_000])
def test_loss_and_gradient_equal_those_without_any_saving(
    model: Transformer,
    task: RunningSum,
    weighting: LossWeighting,
    p_cot: float,
    max_tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read in many pieces, or in one a form."""
    monkeypatch.setattr(Transformer, "tokens_per_pass", max_tokens)
    batch = mixture.draw(task, MixtureSettings(p_cot=p_cot), 12, seed=0, name="test", step=0)
    pieces = list(next_token.pieces(batch, weighting, batch, torch.device("cpu"), max_tokens))
    assert len(pieces) > 2 if max_tokens == 20 else len(pieces) == (2 if p_cot == 0.3 else 1)
    metrics = assert_as_plain(model, batch, weighting)
    assert (metrics["loss_short"] is None) == (p_cot == 1.0)
    assert (metrics["loss_long"] is None) == (p_cot == 0.0)


@pytest.mark.parametrize("weighting", ["token_mean", "sequence_mean"])
def test_demonstrations_of_different_lengths_count_their_own_tokens(weighting: LossWeighting) -> None:
    """Ragged prompts and chains against each sequence read alone: what fills a row up has no loss and no gradient."""
    task = RunningSum(RunningSumSettings(d=7, d_min=2, noise=0.3, marker="both"))
    settings = ModelSettings(family="mistral", layers=1, width=16, heads=2)
    model = families.build(settings, task).initialize(stream(0, "model"))
    assert isinstance(model, Transformer)
    batch = mixture.draw(task, MixtureSettings(p_cot=0.6), 20, seed=0, name="test", step=0)
    counts = batch.long.mask.sum(dim=1)
    assert len(counts.unique()) > 2
    assert batch.num_tokens == 20 * 7 + int(counts.sum()) + 3 * len(batch.short.prompts)
    metrics = assert_as_plain(model, batch, weighting)
    assert metrics["loss_short"] is not None
