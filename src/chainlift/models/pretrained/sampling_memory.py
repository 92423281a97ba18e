"""How many rows a language model can sample at once in a given memory, by the sizes in its configuration.

A row's cache grows with every token, and a step holds a few copies of one token's logits. Nothing is measured: where a
batch is cut decides which random numbers its rows meet, so it must not depend on the machine.
"""

from __future__ import annotations

from typing import Any

import torch

GIB = 2**30
LOGITS_HELD = 5  # of one step: the model's own, in float32, scaled by temperature, softmaxed, and the last step's

LOGITS_READ = 4  # of a whole text: the model's own, in float32, scaled by temperature, and their logarithms


def cache_bytes(config: Any, *, keys: int, values: int) -> int:
    """Bytes that one token of one row takes in the cache; keys, values: bytes of a number.

    One layer counts twice, as a layer's cache is copied into a longer one at each step.
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return (config.num_hidden_layers + 1) * heads * size * (keys + values)


def number_bytes(weights: torch.dtype, *, bfloat16: bool) -> tuple[int, int]:
    """(bytes of a number in the cache's keys, in its values); bfloat16: whether the matrix products are autocast.

    Autocast turns float32 weights' values into bfloat16; keys are float32 again behind the rotation of positions.
    """
    if weights.itemsize < 4:
        return weights.itemsize, weights.itemsize
    return 4, 2 if bfloat16 else 4


def row_bytes(config: Any, tokens: int, weights: torch.dtype, *, bfloat16: bool) -> int:
    """Bytes that one row of prompt and response, `tokens` together, takes while it is sampled."""
    keys, values = number_bytes(weights, bfloat16=bfloat16)
    return tokens * cache_bytes(config, keys=keys, values=values) + config.vocab_size * 4 * LOGITS_HELD


def rows_that_fit(model: Any, tokens: int, gib: float, *, bfloat16: bool) -> int:
    """How many rows of prompt and response, `tokens` together, a model can sample in `gib`; at least 1."""
    weights = next(model.parameters()).dtype
    return max(1, int(gib * GIB // row_bytes(model.config, tokens, weights, bfloat16=bfloat16)))


def scoring_rows(config: Any, tokens: int, gib: float) -> int:
    """How many rows of `tokens` fit into `gib` if all of their logits are read; at least 1."""
    return max(1, int(gib * GIB // (tokens * config.vocab_size * 4 * LOGITS_READ)))
