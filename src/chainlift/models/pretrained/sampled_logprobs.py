"""Log-probabilities of the tokens that transformers' `generate` takes, gathered while it goes on.

`generate` can return the logits of all steps, which takes rows x steps x vocabulary x 4 bytes. Here one step's logits
are held until the token that was taken from them is known.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class SampledLogprobs:
    """A logits processor that changes nothing; after `generate`, `of` has the tokens' log-probabilities."""

    def __init__(self, temperature: float, check: Callable[[], None] = lambda: None) -> None:
        """temperature: by which logits are divided; check: called at each step, what it raises ends the generation."""
        self.temperature, self.check = temperature, check
        self._logits: Tensor | None = None
        self._found: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores as they are, which come before temperature and sampling."""
        self.check()
        if self._logits is not None:
            self._gather(input_ids[:, -1])
        self._logits = scores
        return scores

    def of(self, sequences: Tensor, prompt: int) -> Tensor:
        """(rows, response tokens) log-probabilities of generated sequences, whose first `prompt` columns were given."""
        responses = sequences[:, prompt:]
        if len(self._found) < responses.shape[1]:
            self._gather(responses[:, len(self._found)])
        return torch.stack(self._found, dim=1)[:, : responses.shape[1]]

    def _gather(self, tokens: Tensor) -> None:
        assert self._logits is not None
        logp = torch.log_softmax(self._logits.float() / self.temperature, dim=-1)
        self._found.append(logp.gather(1, tokens[:, None]).squeeze(1))
        self._logits = None
