"""Memory of a transformer's activations in a pass with gradients, from its settings alone."""

from __future__ import annotations

from chainlift.models.passes import MAX_TOKENS
from chainlift.models.transformer.blocks import ModelSettings

ACTIVATION_BYTES = 5 * 2**29  # 2.5 GiB, so that all shipped symbolic recipes have MAX_TOKENS


def tokens_per_pass(settings: ModelSettings, number_bytes: int, *, recomputes: bool) -> int:
    """Tokens of a pass whose activations take about ACTIVATION_BYTES at most; never more than MAX_TOKENS.

    number_bytes: of an activation; recomputes: whether the backward pass computes the blocks again.
    """
    numbers = numbers_per_token(settings, recomputes=recomputes)
    return max(min(ACTIVATION_BYTES // (numbers * number_bytes), MAX_TOKENS), 1)


def numbers_per_token(settings: ModelSettings, *, recomputes: bool) -> int:
    """About how many numbers the blocks keep of each token for the backward pass.

    A block keeps the inputs of its norms and matrices, both norms' results, queries, keys and values, and the MLP's
    hidden values before and after the activation function. With width D, width K of the keys and hidden width F these
    are about 9 D + 2 F; with a gate twice the hidden values, and with rotary positions further copies: 10 D + 4 K + 4 F
    (measured with 6 layers: 16.4 D for gpt2 of width 128, 21.5 D for mistral in the shape of SmolLM2). Attention
    scores and masks, which grow with a sequence's length, are not counted; fused attention keeps no scores. Recomputed
    blocks keep their inputs, D, and one at a time all the rest.
    """
    keys = settings.num_kv_heads * (settings.width // settings.heads)
    if settings.family == "gpt2":
        block = 9 * settings.width + 2 * settings.hidden_width
    else:
        block = 10 * settings.width + 4 * keys + 4 * settings.hidden_width
    return block + settings.layers * settings.width if recomputes else settings.layers * block
