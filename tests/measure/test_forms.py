"""The opening of long answers: its probability against whole sequences, and that prompts are read once for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chainlift.measure import forms
from chainlift.measure.evaluate import measure
from chainlift.models import families
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.stages.task import task_of
from chainlift.text.tokenized import TokenizedTask
from tests.stages.text.small_engine_text import small


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Transformer, TokenizedTask]:
    """A Llama of random weights with a task of text."""
    recipe = small(tmp_path)
    task = task_of(recipe)
    assert isinstance(task, TokenizedTask)
    model = families.build(recipe.model, task).initialize(stream(0, "model"))
    assert isinstance(model, Transformer)
    return model, task


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@torch.no_grad()
def test_the_probability_is_that_of_whole_sequences(
    pair: tuple[Transformer, TokenizedTask], temperature: float
) -> None:
    model, task = pair
    prompts, opening = task.prompts(6, stream(0, "prompts")), task.opening
    assert len(opening) > 1
    sequences = torch.cat([prompts, opening.expand(len(prompts), -1)], dim=1)
    logits = model.read(sequences, prompts.shape[1] - 1)[:, :-1] / temperature
    logp = logits.log_softmax(dim=-1).gather(2, opening.expand(len(prompts), -1)[..., None])[..., 0]
    table = forms.opening_probability(model, prompts, opening, model.prefill(split_prompts(prompts)[0]), temperature)
    torch.testing.assert_close(table["probability"], logp.double().sum(dim=1).exp(), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("marker", "is_measured"), [("long", True), ("both", False), ("none", True)])
def test_the_first_token_tells_the_form_only_where_it_differs(marker: str, is_measured: bool, tmp_path: Path) -> None:
    recipe = small(tmp_path, f"task.template.marker={marker}")
    task = task_of(recipe)
    model = families.build(recipe.model, task).initialize(stream(0, "model"))
    decision = measure(model, task, 8, seed=0, name="evaluation", step=0)["decision"]
    assert ("long_opening" in decision) == is_measured


def test_prompts_are_read_once_for_all_but_forced_answers(
    pair: tuple[Transformer, TokenizedTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, task = pair
    read, prefill = [], model.prefill
    monkeypatch.setattr(model, "prefill", lambda prefix: read.append(len(prefix)) or prefill(prefix))
    table = measure(model, task, 8, seed=0, name="evaluation", step=0, with_forced=True)
    assert table["long_prefix"]["n"] == table["forced_long"]["n"] == 8
    assert read == [8, 8]
