"""The probability that a language model opens its response as long forms open, read off instead of sampled.

A sampled long share of n responses has a standard error of sqrt(p (1 - p) / n) even for a model that is calibrated
exactly; this probability has none but that of the problems drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from chainlift import distributed


def long_prefix_probabilities(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    opening: str,
    *,
    temperature: float = 1.0,
    batch_rows: int = 64,
    bfloat16: bool = False,
) -> list[float]:
    """Of each prompt, the probability that a response sampled at `temperature` begins with the text `long_prefix`.

    The opening's tokens are those that follow the prompt's own where both are tokenized as one text, as they stand in
    demonstrations. Of processes that were launched together each does a part, and all return the whole.
    """

    def here(part: list[str]) -> list[float]:
        found: list[float] = []
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
            for start in range(0, len(part), batch_rows):
                found += _of_batch(model, tokenizer, part[start : start + batch_rows], opening, temperature)
        return found

    return distributed.map_sharded(prompts, here)


@torch.no_grad()
def _of_batch(model: Any, tokenizer: Any, prompts: list[str], opening: str, temperature: float) -> list[float]:
    """The probabilities of one batch; padding on the right is behind all that is read."""
    starts = [len(ids) for ids in tokenizer(prompts)["input_ids"]]
    batch = tokenizer(
        [f"{one}{opening}" for one in prompts], return_tensors="pt", padding=True, padding_side="right"
    ).to(model.device)
    tokens, mask = batch["input_ids"], batch["attention_mask"].bool()
    was_training = model.training
    model.eval()
    try:
        logits = model(input_ids=tokens, attention_mask=mask).logits[:, :-1].float() / temperature
    finally:
        model.train(was_training)
    logp = logits.log_softmax(dim=-1).gather(2, tokens[:, 1:, None])[:, :, 0]
    place = torch.arange(1, tokens.shape[1], device=tokens.device)
    of_opening = mask[:, 1:] & (place >= torch.tensor(starts, device=tokens.device)[:, None])
    return (logp * of_opening).sum(dim=1).exp().tolist()
