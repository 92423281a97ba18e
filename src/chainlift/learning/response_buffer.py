"""A buffer for responses that grow token by token."""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.learning.draws import Draws


class ResponseBuffer:
    """Sampled tokens, their log-probabilities and counts, row by row."""

    def __init__(self, num_rows: int, max_tokens: int, eos: int, device: torch.device) -> None:
        self.eos, self.max_tokens = eos, max_tokens
        self.responses = torch.full((num_rows, max_tokens), eos, device=device)
        self.logp = torch.zeros(num_rows, max_tokens, device=device)
        self.num_actions = torch.zeros(num_rows, dtype=torch.long, device=device)
        self.entropy_sum = torch.zeros((), device=device)

    def add(self, rows: Tensor, start: int, draws: Draws, counts: Tensor) -> None:
        """Append to each of rows (B,), from position `start` on, the first counts (B,) of draws (B, S).

        Nothing here waits for the device.
        """
        tokens = draws.tokens
        places = slice(start, start + tokens.shape[1])
        mask = torch.arange(tokens.shape[1], device=rows.device) < counts[:, None]
        self.responses[rows, places] = torch.where(mask, tokens, self.responses[rows, places])
        self.logp[rows, places] = torch.where(mask, draws.logp, self.logp[rows, places])
        self.num_actions[rows] += counts
        self.entropy_sum += (draws.entropy * mask).sum()
