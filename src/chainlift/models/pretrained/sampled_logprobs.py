"""Log-probabilities of the tokens that transformers' `generate` chooses, gathered during generation.

`generate` can return the logits of all steps, which take rows x steps x vocabulary x 4 bytes. Here one step's logits
are kept only until the token chosen from them is known.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class SampledLogprobs:
    """A logits processor that leaves the logits unchanged; after `generate`, `of` returns the log-probabilities."""

    def __init__(self, temperature: float, check: Callable[[], None] = lambda: None) -> None:
        """temperature: divides the logits; check: called at each step, its exception ends the generation."""
        self.temperature, self.check = temperature, check
        self._logits: Tensor | None = None
        self._logprobs: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Record the scores, which come before temperature and sampling, and return them unchanged."""
        self.check()
        if self._logits is not None:
            self._gather(input_ids[:, -1])
        self._logits = scores
        return scores

    def of(self, sequences: Tensor, prompt_length: int) -> Tensor:
        """Log-probabilities (B, R) of generated sequences (B, prompt_length + R), without the prompts."""
        responses = sequences[:, prompt_length:]
        if len(self._logprobs) < responses.shape[1]:
            self._gather(responses[:, len(self._logprobs)])
        return torch.stack(self._logprobs, dim=1)[:, : responses.shape[1]]

    def _gather(self, tokens: Tensor) -> None:
        assert self._logits is not None
        logp = torch.log_softmax(self._logits.float() / self.temperature, dim=-1)
        self._logprobs.append(logp.gather(1, tokens[:, None]).squeeze(1))
        self._logits = None
