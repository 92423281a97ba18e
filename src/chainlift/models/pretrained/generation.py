"""Greedy and sampled responses of a language model, in batches, with explicit generation settings.

Measurements use this module because TRL's trainers only sample, and because a checkpoint's generation settings must not
affect them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from chainlift import distributed
from chainlift.models.pretrained.sampling_memory import rows_that_fit
from chainlift.seeding import derive
from chainlift.text.templates import Text
from chainlift.text.tokenization import adds_special, prompt_text


@dataclass(frozen=True)
class Response:
    """A model's response to one prompt."""

    text: str
    """The text without special tokens."""
    tokens: list[str]
    """The tokens as text, without the end of sequence."""
    probabilities: list[float]
    """Probability of each token under the distribution it was sampled from; greedy: at temperature 1."""
    finished: bool
    """Whether the response ended with an end of sequence."""

    @property
    def length(self) -> int:
        """Number of output tokens without the end of sequence."""
        return len(self.tokens)


def longest_prompt(prompts: Sequence[Text], tokenizer: Any) -> int:
    """Number of tokens of the longest prompt, 0 if there is no prompt."""
    return max(num_tokens(prompts, tokenizer), default=0)


def num_tokens(prompts: Sequence[Text], tokenizer: Any, endings: Sequence[str] = ()) -> list[int]:
    """Number of tokens of each prompt, together with its ending if `endings` are given."""
    texts = [prompt_text(prompt, tokenizer) for prompt in prompts]
    if endings:
        texts = [text + ending for text, ending in zip(texts, endings, strict=True)]
    if not texts:
        return []
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=adds_special(prompts))["input_ids"]]


def respond(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Text],
    *,
    max_tokens: int,
    temperature: float | None = None,
    seed: int = 0,
    name: str = "llm/respond",
    batch_rows: int = 64,
    gib: float = 8.0,
    bfloat16: bool = False,
    check: Callable[[], None] = lambda: None,
) -> list[Response]:
    """Respond to each prompt, in order: greedy without a temperature, otherwise sampled from the stream `name`.

    A collective: each rank responds to a shard, and every rank returns all responses. Prompts of similar length share a
    batch to save padding. top-k and top-p are off. A batch has at most `batch_rows` rows and takes at most `gib` GiB.
    check: called between batches, and in a single process at each token; its exception ends the work.
    """
    tokens = longest_prompt(prompts, tokenizer) + max_tokens
    rows = min(batch_rows, rows_that_fit(model, tokens, gib, bfloat16=bfloat16))

    def respond_shard(shard: list[Text]) -> list[Response]:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
            return _respond_shard(model, tokenizer, shard, max_tokens, temperature, seed, name, rows, check)

    return distributed.map_sharded(prompts, respond_shard)


@torch.no_grad()
def _respond_shard(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Text],
    max_tokens: int,
    temperature: float | None,
    seed: int,
    name: str,
    rows: int,
    check: Callable[[], None],
) -> list[Response]:
    """Respond to this rank's shard of the prompts."""
    texts = [prompt_text(prompt, tokenizer) for prompt in prompts]
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=adds_special(prompts))["input_ids"]]
    order = sorted(range(len(texts)), key=lambda i: -lengths[i])
    responses: dict[int, Response] = {}
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        for start in range(0, len(order), rows):
            check()
            indices = order[start : start + rows]
            batch = tokenizer(
                [texts[i] for i in indices],
                return_tensors="pt",
                padding=True,
                padding_side="left",
                add_special_tokens=adds_special(prompts),
            ).to(device)
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(derive(seed, name, distributed.rank(), start))
                batch_responses = _generate(model, tokenizer, batch, max_tokens, temperature, check)
                responses |= dict(zip(indices, batch_responses, strict=True))
    finally:
        model.train(was_training)
    return [responses[i] for i in range(len(texts))]


def _generate(
    model: Any,
    tokenizer: Any,
    batch: Any,
    max_tokens: int,
    temperature: float | None,
    check: Callable[[], None],
) -> list[Response]:
    """Generate responses to one padded batch."""
    from transformers import LogitsProcessorList

    from chainlift.models.pretrained.sampled_logprobs import SampledLogprobs

    decoding: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if temperature is not None:
        decoding = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
    # With several ranks none may stop alone: they agree between batches.
    logprobs = SampledLogprobs(temperature or 1.0, check if distributed.world_size() == 1 else lambda: None)
    sequences = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=max_tokens,
        logits_processor=LogitsProcessorList([logprobs]),
        **decoding,
    )
    prompt_length = batch["input_ids"].shape[1]
    ids, logp = sequences[:, prompt_length:], logprobs.of(sequences, prompt_length)
    end_tokens = _end_tokens(model, tokenizer)
    responses = []
    for row, probabilities in zip(ids.tolist(), logp.exp().tolist(), strict=True):
        stop = next((i for i, token in enumerate(row) if token in end_tokens), len(row))
        kept = row[:stop]
        text = tokenizer.decode(kept, skip_special_tokens=True)
        tokens = [tokenizer.decode([token]) for token in kept]
        responses.append(Response(text, tokens, probabilities[:stop], stop < len(row)))
    return responses


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a response."""
    eos = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
