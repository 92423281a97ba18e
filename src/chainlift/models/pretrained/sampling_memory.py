"""Rows that a language model can sample at once in a given memory, from the sizes in its configuration.

A row's cache grows with every token, and a step keeps a few copies of one token's logits. The result is computed, not
measured: the size of a batch decides which random numbers its rows get, so it must not depend on the machine.
"""

from __future__ import annotations

from typing import Any

import torch

GIB = 2**30
SAMPLING_COPIES = 5  # of one step's logits: original, float32, divided by temperature, softmax, the previous step's
SCORING_COPIES = 4  # of a text's logits: original, float32, divided by temperature, log-softmax


def cache_bytes(config: Any, *, keys: int, values: int) -> int:
    """Bytes of the cache per token and row; keys, values: bytes of one number in them.

    One layer counts twice, because a layer's cache is copied into a longer one at each step.
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return (config.num_hidden_layers + 1) * heads * head_width * (keys + values)


def number_bytes(weights: torch.dtype, *, bfloat16: bool) -> tuple[int, int]:
    """Bytes of a number in the cache's (keys, values); bfloat16: whether matrix products are autocast.

    With float32 weights autocast makes values bfloat16; the rotary embedding turns keys into float32 again.
    """
    if weights.itemsize < 4:
        return weights.itemsize, weights.itemsize
    return 4, 2 if bfloat16 else 4


def row_bytes(config: Any, tokens: int, weights: torch.dtype, *, bfloat16: bool) -> int:
    """Bytes that sampling one row takes; tokens: of its prompt and response together."""
    keys, values = number_bytes(weights, bfloat16=bfloat16)
    return tokens * cache_bytes(config, keys=keys, values=values) + config.vocab_size * 4 * SAMPLING_COPIES


def rows_that_fit(model: Any, tokens: int, gib: float, *, bfloat16: bool) -> int:
    """Rows that a model can sample at once in `gib` GiB, at least 1; tokens: of a prompt and its response."""
    weights = next(model.parameters()).dtype
    return max(1, int(gib * GIB // row_bytes(model.config, tokens, weights, bfloat16=bfloat16)))


def scoring_rows(config: Any, tokens: int, gib: float) -> int:
    """Rows of `tokens` tokens that one forward pass with all logits can hold in `gib` GiB, at least 1."""
    return max(1, int(gib * GIB // (tokens * config.vocab_size * 4 * SCORING_COPIES)))
