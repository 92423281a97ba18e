"""Expectations against the sum over every response, and against samples."""

import itertools
import math

import pytest
import torch

from chainlift.measure import exact
from chainlift.measure.evaluate import answer
from chainlift.models import families
from chainlift.models.linear import LinearModel, LinearSettings
from chainlift.models.protocol import split_prompts
from chainlift.seeding import stream
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings


def make(modulus: int, d: int) -> tuple[LinearModel, RunningSum]:
    task = RunningSum(RunningSumSettings(d=d, modulus=modulus))
    model = families.build(LinearSettings(family="linear"), task)
    assert isinstance(model, LinearModel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=stream(0, "noise"))
    return model, task


@pytest.mark.parametrize("temperature", [1.0, 1.5])
@pytest.mark.parametrize("modulus", [2, 3])
def test_against_the_sum_over_every_response(modulus: int, temperature: float) -> None:
    model, task = make(modulus, d=3)
    length, eos = task.long_length + 1, task.vocabulary.eos
    bodies = [body for size in range(length + 1) for body in itertools.product(range(modulus), repeat=size)]
    responses = torch.tensor([[*body, *[eos] * (length - len(body))] for body in bodies])
    actions = torch.arange(length) <= (responses != eos).sum(dim=1)[:, None]
    prompts = exact.every_prompt(task)
    found = exact.expectations(model, task, prompts, temperature=temperature)
    for row, prompt in enumerate(prompts):
        repeated = prompt.expand(len(responses), -1)
        prefix, last = split_prompts(repeated)
        logits = model.logits(model.prefill(prefix), torch.cat([last, responses[:, :-1]], dim=1)).double()
        logp = (logits / temperature).log_softmax(dim=-1).gather(2, responses[..., None])[..., 0]
        probability = (logp * actions).sum(dim=1).exp()
        verdict = task.verify(repeated, responses)
        assert float(probability.detach().sum()) == pytest.approx(1, abs=1e-6)
        for field, value in (
            (found.accuracy, verdict.answer_correct),
            (found.long, verdict.long),
            (found.chain, verdict.chain_correct & verdict.long),
            (found.finished, verdict.finished),
            (found.length, verdict.length),
        ):
            assert float(field[row]) == pytest.approx(float((probability * value).sum()), abs=1e-6)


def test_against_samples() -> None:
    """40,000 samples each; 4.4 standard errors: about 2 false alarms in 100,000 over both comparisons."""
    model, task = make(2, d=12)
    prompts = task.prompts(2000, stream(0, "prompts"))
    expected = exact.expectations(model, task, prompts)
    sampled = answer(model, task, prompts, group_size=20, generator=stream(0, "samples")).verdict
    for field, value in ((expected.accuracy, sampled.answer_correct), (expected.long, sampled.long)):
        spread = math.sqrt(float((field * (1 - field)).sum()) * 20)
        assert abs(float(value.sum()) - 20 * float(field.sum())) < 4.4 * spread


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, task = make(3, d=4)
    prompts = task.prompts(11, stream(0, "prompts"))
    whole = exact.expectations(model, task, prompts)
    monkeypatch.setattr(exact, "NUMBERS_AT_ONCE", 300)
    parts = exact.expectations(model, task, prompts)
    torch.testing.assert_close(whole.accuracy, parts.accuracy)
    torch.testing.assert_close(whole.length, parts.length)


def test_few_prompts_are_enumerated_and_many_are_sampled() -> None:
    small, task = make(2, d=6)
    table = exact.measure(small, task, 10, generator=stream(0, "prompts"))
    assert (table["n"], table["enumerated"], "long_share_sem" in table) == (64, True, False)
    large, task = make(2, d=30)
    table = exact.measure(large, task, 10, generator=stream(0, "prompts"))
    assert (table["n"], table["enumerated"]) == (10, False)
    assert table["long_share_sem"] > 0
    with pytest.raises(ValueError, match="too many"):
        exact.every_prompt(task)


def test_every_prompt_is_there_once() -> None:
    _, task = make(3, d=4)
    prompts = exact.every_prompt(task)
    assert len({tuple(prompt.tolist()) for prompt in prompts}) == 81
    assert prompts.shape == (81, 4)
