"""The probability that a language model's response begins as long forms do, computed from logits without sampling.

A sampled long share of n responses has a standard error of sqrt(p (1 - p) / n), also for an exactly calibrated model.
This probability's only sampling error is that of the problems.
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
    long_prefix: str,
    *,
    temperature: float = 1.0,
    batch_rows: int = 64,
    bfloat16: bool = False,
) -> list[float]:
    """For each prompt, the probability that a response sampled at `temperature` begins with the text `long_prefix`.

    The prefix's tokens are those that follow the prompt's when both are tokenized as one text, as in demonstrations. A
    collective: each rank computes a shard, and every rank returns all probabilities.
    """

    def compute_shard(shard: list[str]) -> list[float]:
        probabilities: list[float] = []
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
            for start in range(0, len(shard), batch_rows):
                batch = shard[start : start + batch_rows]
                probabilities += _batch_probabilities(model, tokenizer, batch, long_prefix, temperature)
        return probabilities

    return distributed.map_sharded(prompts, compute_shard)


@torch.no_grad()
def _batch_probabilities(
    model: Any, tokenizer: Any, prompts: list[str], long_prefix: str, temperature: float
) -> list[float]:
    """The probabilities of one batch, padded on the right, after all positions that are read."""
    prompt_lengths = [len(ids) for ids in tokenizer(prompts)["input_ids"]]
    batch = tokenizer(
        [f"{prompt}{long_prefix}" for prompt in prompts], return_tensors="pt", padding=True, padding_side="right"
    ).to(model.device)
    tokens, mask = batch["input_ids"], batch["attention_mask"].bool()
    was_training = model.training
    model.eval()
    try:
        logits = model(input_ids=tokens, attention_mask=mask).logits[:, :-1].float() / temperature
    finally:
        model.train(was_training)
    logp = logits.log_softmax(dim=-1).gather(2, tokens[:, 1:, None])[:, :, 0]
    position = torch.arange(1, tokens.shape[1], device=tokens.device)
    in_prefix = mask[:, 1:] & (position >= torch.tensor(prompt_lengths, device=tokens.device)[:, None])
    return (logp * in_prefix).sum(dim=1).exp().tolist()
