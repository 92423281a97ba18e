"""Log-probabilities of tokens from logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def token_logp(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability (B, R) in nats of tokens (B, R) under softmax(logits / temperature), logits (B, R, V)."""
    logits = logits.float()
    if temperature != 1.0:
        logits = logits / temperature
    return -F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").view_as(tokens)
