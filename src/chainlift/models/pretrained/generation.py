"""Responses of a language model to prompts: greedy or sampled, in batches, from nobody's settings but ours.

TRL's trainers only ever sample, and a checkpoint's own generation settings would slip in, so what is measured is
generated here.
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


@dataclass(frozen=True)
class Response:
    """What a model answered to one prompt."""

    text: str
    """Without special tokens."""
    tokens: list[str]
    """As the tokenizer writes them, the end of sequence left out."""
    probabilities: list[float]
    """Of each token under the distribution that it was taken from; greedy: at temperature 1."""
    finished: bool
    """There was an end of sequence."""

    @property
    def length(self) -> int:
        """Output tokens, the end of sequence left out."""
        return len(self.tokens)


def prompt_text(prompt: Text, tokenizer: Any) -> str:
    """A prompt as the text that is tokenized; ValueError for a chat where the tokenizer has no template of one."""
    if isinstance(prompt, str):
        return prompt
    if not tokenizer.chat_template:
        raise ValueError(
            "task.template.template: this model's tokenizer has no chat template; use task.template.template=plain"
        )
    return tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)


def longest_prompt(prompts: Sequence[Text], tokenizer: Any) -> int:
    """Tokens of the longest of some prompts, 0 if there are none."""
    return max(num_tokens(prompts, tokenizer), default=0)


def num_tokens(prompts: Sequence[Text], tokenizer: Any, endings: Sequence[str] = ()) -> list[int]:
    """Tokens of each prompt, with the text that follows it if there are `endings`."""
    texts = [prompt_text(prompt, tokenizer) for prompt in prompts]
    if endings:
        texts = [text + ending for text, ending in zip(texts, endings, strict=True)]
    if not texts:
        return []
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=_adds_special(prompts))["input_ids"]]


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
    """A response to each prompt, in their order: greedy without a temperature, else sampled from the stream `name`.

    Of processes that were launched together each does a part, and all return the whole. Prompts of similar length go
    together, so that little padding is read. top-k and top-p are off. A batch has at most `rows_at_once` rows, and no
    more than `gib` holds. check: called between batches, and in a process alone at each token; what it raises ends
    the work.
    """
    tokens = longest_prompt(prompts, tokenizer) + max_tokens
    rows = min(batch_rows, rows_that_fit(model, tokens, gib, bfloat16=bfloat16))

    def here(part: list[Text]) -> list[Response]:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
            return _respond_here(model, tokenizer, part, max_tokens, temperature, seed, name, rows, check)

    return distributed.map_sharded(prompts, here)


@torch.no_grad()
def _respond_here(
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
    """The responses of one process."""
    texts = [prompt_text(one, tokenizer) for one in prompts]
    sizes = [len(ids) for ids in tokenizer(texts, add_special_tokens=_adds_special(prompts))["input_ids"]]
    order = sorted(range(len(texts)), key=lambda i: -sizes[i])
    found: dict[int, Response] = {}
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        for start in range(0, len(order), rows):
            check()
            chosen = order[start : start + rows]
            batch = tokenizer(
                [texts[i] for i in chosen],
                return_tensors="pt",
                padding=True,
                padding_side="left",
                add_special_tokens=_adds_special(prompts),
            ).to(device)
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(derive(seed, name, distributed.rank(), start))
                responses = _generate(model, tokenizer, batch, max_tokens, temperature, check)
                found |= dict(zip(chosen, responses, strict=True))
    finally:
        model.train(was_training)
    return [found[i] for i in range(len(texts))]


def _adds_special(prompts: Sequence[Text]) -> bool:
    """Chat templates write the beginning of a sequence themselves."""
    return not prompts or isinstance(prompts[0], str)


def _generate(
    model: Any,
    tokenizer: Any,
    batch: Any,
    max_tokens: int,
    temperature: float | None,
    check: Callable[[], None],
) -> list[Response]:
    """Responses to one padded batch."""
    from transformers import LogitsProcessorList

    from chainlift.models.pretrained.sampled_logprobs import SampledLogprobs

    choice: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if temperature is not None:
        choice = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
    # Of several processes none may leave alone: they agree between batches.
    logprobs = SampledLogprobs(temperature or 1.0, check if distributed.world_size() == 1 else lambda: None)
    sequences = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=max_tokens,
        logits_processor=LogitsProcessorList([logprobs]),
        **choice,
    )
    prompt = batch["input_ids"].shape[1]
    ids, logp = sequences[:, prompt:], logprobs.of(sequences, prompt)
    ends = _ends(model, tokenizer)
    found = []
    for row, values in zip(ids.tolist(), logp.exp().tolist(), strict=True):
        stop = next((i for i, token in enumerate(row) if token in ends), len(row))
        kept = row[:stop]
        text = tokenizer.decode(kept, skip_special_tokens=True)
        tokens = [tokenizer.decode([token]) for token in kept]
        found.append(Response(text, tokens, values[:stop], stop < len(row)))
    return found


def _ends(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a response."""
    found = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(found if isinstance(found, list) else [found])}
