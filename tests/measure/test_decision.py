"""The decisions against a distribution written down by hand, and against what the model is seen to sample."""

import math
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
import torch

from chainlift.measure import decision
from chainlift.measure.evaluate import answer
from chainlift.models import families
from chainlift.models.linear import LinearModel, LinearSettings
from chainlift.models.protocol import Cache, split_prompts
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.seeding import stream
from chainlift.tasks import registry as tasks
from chainlift.tasks.running_sum import RunningSumSettings


@pytest.mark.parametrize("modulus", [2, 3])
def test_weights_written_down_come_back(modulus: int) -> None:
    """A linear model whose first token has the log-odds 1.2 for x_1, and whose decision 0.4 after it, -3 elsewhere."""
    task = tasks.build(RunningSumSettings(d=4, modulus=modulus))
    model = families.build(LinearSettings(family="linear"), task).initialize(stream(0, "model"))
    assert isinstance(model, LinearModel)
    with torch.no_grad():
        if modulus == 2:
            model.first[0, 0] = 1.2
            model.stop[0, -1], model.stop[1, 0] = (0.4 - 3) / 2, (0.4 + 3) / 2
        else:
            for k in range(3):
                model.first[k, k] = 1.2 + math.log(2)  # two other symbols share the rest
                model.stop[1 + k, k] = 3.4
            model.stop[0, -1] = -3.0
    chunks = task.prompts(200, stream(0, "prompts")).split(64)
    found = decision.describe(
        [decision.log_odds(model, task, chunk, model.prefill(split_prompts(chunk)[0])) for chunk in chunks]
    )
    assert found["n"] == 200
    assert found["first_lead_log_odds"] == pytest.approx(1.2 + math.log(modulus - 1), abs=1e-5)
    for name, value in (("first", 1.2), ("go_on", 0.4), ("go_on_elsewhere", -3.0)):
        assert found[f"{name}_log_odds"] == pytest.approx(value, abs=1e-5)
        assert found[name] == pytest.approx(1 / (1 + math.exp(-value)), abs=1e-6)
        assert found[f"{name}_log_odds_std"] < 1e-5


def test_a_transformer_samples_as_its_decisions_say() -> None:
    """Of 20,000 samples to 20 prompts the first token is the chain's, and then goes on, as often as predicted: within
    five standard errors, so a false alarm once in a million.
    """
    task = tasks.build(RunningSumSettings(d=3))
    model = families.build(ModelSettings(layers=1, width=16, heads=2), task).initialize(stream(0, "model"))
    prompts = task.prompts(20, stream(0, "prompts"))
    odds = decision.log_odds(model, task, prompts, model.prefill(split_prompts(prompts)[0]))
    found = answer(model, task, prompts, group_size=1000, generator=stream(0, "samples"))
    started = found.rollout.responses[:, 0] == found.rollout.row_prompts[:, 0]
    went_on = found.rollout.responses[:, 1] != task.vocabulary.eos
    first = odds["first"].sigmoid()
    both = first * odds["go_on"].sigmoid()
    for seen, chance in ((started, first), (started & went_on, both)):
        error = (chance * (1 - chance)).sum().sqrt() * 1000**0.5
        assert abs(float(seen.sum()) - 1000 * float(chance.sum())) < 5 * float(error)
    assert float(odds["go_on_elsewhere"].sub(odds["go_on"]).abs().min()) > 0


@pytest.mark.parametrize("marker", ["none", "both"])
def test_the_lead_is_over_the_likeliest_other_token(marker: Literal["none", "both"]) -> None:
    """Greedy opens a chain exactly where the lead is positive; with markers nothing is asked of the second token."""
    task = tasks.build(RunningSumSettings(d=3, modulus=5, marker=marker))
    model = families.build(ModelSettings(layers=1, width=16, heads=2), task).initialize(stream(1, "model"))
    prompts = task.prompts(200, stream(0, "prompts"))
    found = decision.log_odds(model, task, prompts, model.prefill(split_prompts(prompts)[0]))
    greedy = answer(model, task, prompts).rollout.responses[:, 0]
    assert torch.equal(found["first_lead"] > 0, greedy == task.gold(prompts, long=True)[:, 0])
    assert (found["first_lead"] >= found["first"]).all()
    assert ("go_on" in found) == (marker == "none")


def test_elsewhere_is_a_symbol_that_responses_have() -> None:
    """Where prompts differ in length, the symbol after the last element is padding, which no response has."""
    task = tasks.build(RunningSumSettings(d=4, d_min=2, modulus=2))
    model = families.build(ModelSettings(layers=1, width=16, heads=2), task).initialize(stream(1, "model"))
    prompts = task.prompts(100, stream(0, "prompts"))
    odds = decision.log_odds(model, task, prompts, model.prefill(split_prompts(prompts)[0]))
    other = 1 - task.gold(prompts, long=True)[:, :1]
    logits = model.logits(
        model.prefill(split_prompts(prompts)[0]), torch.cat([split_prompts(prompts)[1], other], dim=1)
    )
    log_p = logits[:, 1].double().log_softmax(dim=-1)
    eos = task.vocabulary.eos
    expected = log_p[:, :eos].logsumexp(dim=1) - log_p[:, eos]
    assert odds["go_on_elsewhere"].tolist() == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(("eos", "padding"), [(0, 1), (1, 0), (0, 0), (2, 3)])
def test_a_tokenizer_may_have_any_ids_for_end_and_padding(eos: int, padding: int) -> None:
    """SmolLM2's <|endoftext|> is token 0. The other symbol is the next one that is neither end nor padding."""
    chain, size = 4, 5
    gold = torch.tensor([[chain, eos]])
    task = SimpleNamespace(
        vocabulary=SimpleNamespace(eos=eos, size=size), padding=padding, short_length=1, gold=lambda *_, **__: gold
    )
    seen: list[int] = []

    def logits(cache: Any, suffix: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        seen.append(int(suffix[0, 1]))
        return torch.zeros(1, 2, size)

    model: Any = SimpleNamespace(logits=logits)
    odds = decision.log_odds(model, cast(Any, task), torch.tensor([[3, 3]]), Cache([]))
    elsewhere = next(i for i in range(size) if i not in (eos, padding))
    assert seen == [chain, elsewhere]
    assert float(odds["first"]) == pytest.approx(-math.log(size - 1))
