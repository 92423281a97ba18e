"""What sampling holds: one step's logits, not all; a cache as large as the arithmetic says; batches that keep to it."""

import gc
from typing import Any

import pytest
import torch
from transformers import LogitsProcessorList

from chainlift.models.pretrained import generation, sampling_memory
from chainlift.models.pretrained.sampled_logprobs import SampledLogprobs
from tests.models.pretrained.tiny_llama import tiny

PROMPTS = ["Question: Anna has 12 apples and 5 boxes.\nAnswer:", "Question:", "Anna has 3", "12 3"]


def logits_alive(rows: int, vocabulary: int) -> int:
    """Tensors of a batch's logits that are held at this moment."""
    return sum(
        1
        for one in gc.get_objects()
        if type(one) is torch.Tensor and one.shape[-1:] == (vocabulary,) and one.shape[0] == rows
    )


@pytest.mark.parametrize("temperature", [None, 0.7])
def test_the_logits_that_are_held_do_not_grow_with_the_steps(temperature: float | None) -> None:
    model, tokenizer = tiny()
    held: list[int] = []
    model.register_forward_hook(lambda *_: held.append(logits_alive(len(PROMPTS), model.config.vocab_size)))
    generation.respond(model, tokenizer, PROMPTS, max_tokens=16, temperature=temperature, seed=3)
    assert len(held) == 16
    assert max(held[2:]) == held[2]


@pytest.mark.parametrize("temperature", [None, 0.7])
def test_probabilities_are_those_of_a_pass_over_the_whole_text(temperature: float | None) -> None:
    model, tokenizer = tiny()
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
    logprobs = SampledLogprobs(temperature or 1.0)
    choice = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    torch.manual_seed(3)
    sequences = model.generate(**batch, max_new_tokens=12, logits_processor=LogitsProcessorList([logprobs]), **choice)
    start = batch["input_ids"].shape[1]
    found = logprobs.of(sequences, start)
    mask = torch.cat([batch["attention_mask"], torch.ones(len(PROMPTS), 12, dtype=torch.long)], dim=1)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=sequences, attention_mask=mask, position_ids=places).logits[:, start - 1 : -1]
    expected = (logits.float() / (temperature or 1.0)).log_softmax(-1).gather(2, sequences[:, start:, None])[..., 0]
    assert found.shape == (len(PROMPTS), 12)
    assert torch.allclose(found, expected, atol=1e-4)
    responses = generation.respond(model, tokenizer, PROMPTS, max_tokens=12, temperature=temperature, seed=3)
    assert all(0 < p <= 1 for one in responses for p in one.probabilities)


@pytest.mark.parametrize(("weights", "bfloat16"), [("float32", False), ("float32", True), ("bfloat16", False)])
def test_the_cache_is_as_large_as_the_arithmetic_says(weights: str, bfloat16: bool) -> None:
    model, _ = tiny()
    model = model.to(getattr(torch, weights))
    rows, tokens = 3, 7
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        cache = model(input_ids=torch.ones(rows, tokens, dtype=torch.long), use_cache=True).past_key_values
    held = sum(part.numel() * part.element_size() for layer in cache.layers for part in (layer.keys, layer.values))
    keys, values = sampling_memory.number_bytes(model.dtype, bfloat16=bfloat16)
    layers = model.config.num_hidden_layers
    counted = sampling_memory.cache_bytes(model.config, keys=keys, values=values)
    assert held == rows * tokens * counted * layers // (layers + 1)


def test_a_batch_keeps_to_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny()
    longest = generation.longest_prompt(PROMPTS, tokenizer)
    row = sampling_memory.row_bytes(model.config, longest + 5, torch.float32, bfloat16=False)
    sizes: list[int] = []
    real = model.generate

    def generate(**given: Any) -> Any:
        sizes.append(len(given["input_ids"]))
        return real(**given)

    monkeypatch.setattr(model, "generate", generate)
    for rows in (1, 3, 9):
        gib = rows * row / sampling_memory.GIB
        sizes.clear()
        found = generation.respond(model, tokenizer, PROMPTS, max_tokens=5, gib=gib)
        assert sizes == {1: [1, 1, 1, 1], 3: [3, 1], 9: [4]}[rows]
        assert len(found) == len(PROMPTS)


def test_generation_ends_within_a_batch_when_it_is_asked_to() -> None:
    model, tokenizer = tiny()
    steps: list[int] = []

    def check() -> None:
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generation.respond(model, tokenizer, PROMPTS, max_tokens=16, check=check)
    assert len(steps) == 5
    assert model.training  # it is left as it was
