"""Token sampling, and a buffer for responses that grow token by token."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_cdf_sample(log_probs: Tensor, uniform: Tensor | None) -> Tensor:
    """Tokens (...) from log-probabilities (..., V) by inverse transform of uniform (...); if None, the most likely."""
    if uniform is None:
        return log_probs.argmax(dim=-1)
    below = log_probs.exp().cumsum(dim=-1) <= uniform[..., None]
    return below.sum(dim=-1).clamp(max=log_probs.shape[-1] - 1)


class ResponseBuffer:
    """Sampled tokens, their log-probabilities and counts, row by row."""

    def __init__(self, num_rows: int, max_tokens: int, eos: int, device: torch.device) -> None:
        self.eos, self.max_tokens = eos, max_tokens
        self.responses = torch.full((num_rows, max_tokens), eos, device=device)
        self.logp = torch.zeros(num_rows, max_tokens, device=device)
        self.num_actions = torch.zeros(num_rows, dtype=torch.long, device=device)
        self.entropy_sum = torch.zeros((), device=device)

    def add(self, rows: Tensor, start: int, tokens: Tensor, log_probs: Tensor, counts: Tensor) -> None:
        """Append to each of rows (B,), from position `start` on, the first counts (B,) of tokens (B, S).

        The tokens were drawn from log_probs (B, S, V). Nothing here waits for the device.
        """
        places = slice(start, start + tokens.shape[1])
        mask = torch.arange(tokens.shape[1], device=rows.device) < counts[:, None]
        logp = log_probs.gather(2, tokens[:, :, None])[:, :, 0]
        self.responses[rows, places] = torch.where(mask, tokens, self.responses[rows, places])
        self.logp[rows, places] = torch.where(mask, logp, self.logp[rows, places])
        self.num_actions[rows] += counts
        self.entropy_sum -= ((log_probs.exp() * log_probs).sum(dim=-1) * mask).sum()
