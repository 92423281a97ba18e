"""The probability of the long form's opening: against one prompt at a time, and against what is sampled."""

import math

import pytest
import torch

from chainlift.models.pretrained import loading
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.generation import respond
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.models.pretrained.long_prefix import long_prefix_probabilities
from tests.models.pretrained.tiny_llama import SIZE

TEXTS = ["Question: Anna has 12 apples.\nAnswer: Let us see. #### 12", "Question: Ben has 3.\nAnswer: #### 3"]
PROMPTS = ["Question: Anna has 12 apples.\nAnswer:", "Question: Ben?\nAnswer:", "Question: Cleo has 3.\nAnswer:"]


@pytest.fixture(scope="module")
def model_and_tokenizer() -> LanguageModel:
    """A Llama of random weights."""
    return loading.load(PretrainedSettings(scratch=SIZE), TEXTS, seed=3)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_it_is_the_product_over_the_openings_tokens(model_and_tokenizer: LanguageModel, temperature: float) -> None:
    model, tokenizer = model_and_tokenizer
    found = long_prefix_probabilities(
        model, tokenizer, PROMPTS, " Let us see.", temperature=temperature, batch_rows=2
    )  # padded, in two batches
    for prompt, probability in zip(PROMPTS, found, strict=True):
        start = len(tokenizer(prompt)["input_ids"])
        ids = torch.tensor([tokenizer(prompt + " Let us see.")["input_ids"]])
        assert ids.shape[1] > start
        with torch.no_grad():
            logp = (model(input_ids=ids).logits[0] / temperature).log_softmax(dim=-1)
        expected = sum(float(logp[i - 1, ids[0, i]]) for i in range(start, ids.shape[1]))
        assert probability == pytest.approx(math.exp(expected), rel=1e-3)


def test_samples_begin_so_as_often(model_and_tokenizer: LanguageModel) -> None:
    model, tokenizer = model_and_tokenizer
    first = tokenizer.decode(
        tokenizer(PROMPTS[0] + " Let us see.")["input_ids"][len(tokenizer(PROMPTS[0])["input_ids"])]
    )
    (p,) = long_prefix_probabilities(model, tokenizer, PROMPTS[:1], first, temperature=0.3)
    n = 2000
    texts = [
        one.tokens for one in respond(model, tokenizer, PROMPTS[:1] * n, max_tokens=1, temperature=0.3, batch_rows=n)
    ]
    share = sum(tokens == [first] for tokens in texts) / n
    assert 0 < p < 1
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n) + 1 / n  # false alarm: once in 16,000 seeds
