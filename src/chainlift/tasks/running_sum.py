"""Running sums modulo K; parity is K = 2.

Prompt x_1..x_d with digits uniform in {0..K-1}. Long form: y_1..y_d <eos> with y_l = x_1 + .. + x_l mod K, so that the
first chain token is x_1 itself. Short form: y_d <eos>. Source: Tsilivis et al., arXiv 2510.11495, for K = 2.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from chainlift.settings import Settings
from chainlift.tasks.base import EOS, Verdict, Vocabulary, register, response_lengths


class RunningSumSettings(Settings):
    """The size of the sum."""

    name: Literal["running_sum"] = "running_sum"
    d: int = Field(default=50, ge=2, le=4096)
    """Number of digits in the prompt, and of steps in a full chain."""
    modulus: int = Field(default=2, ge=2, le=1000)
    """K: digits and sums are integers modulo K; 2 is parity."""


class RunningSum:
    """The running-sum task; see the module's text for its two forms."""

    def __init__(self, settings: RunningSumSettings) -> None:
        self.settings = settings
        self.modulus = settings.modulus
        self.prompt_length = settings.d
        self.short_length = 1
        self.long_length = settings.d
        self.vocabulary = Vocabulary((*map(str, range(settings.modulus)), EOS))

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """Prompts (n, d) of independent uniform digits."""
        return torch.randint(self.modulus, (n, self.prompt_length), generator=generator)

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The running sums and EOS (N, d + 1), or the last sum and EOS (N, 2)."""
        sums = prompts.cumsum(dim=1) % self.modulus
        body = sums if long else sums[:, -1:]
        return torch.nn.functional.pad(body, (0, 1), value=self.vocabulary.eos)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """Exact and anchored by position: only the last token before EOS is the answer."""
        eos = self.vocabulary.eos
        length, finished = response_lengths(responses, eos)
        sums = prompts.cumsum(dim=1) % self.modulus
        last = responses.gather(1, (length - 1).clamp(min=0)[:, None])[:, 0]
        answer = finished & (length > 0) & (last == sums[:, -1])

        long = length > self.short_length
        width = min(responses.shape[1], self.prompt_length)
        inside = torch.arange(width, device=responses.device) < length[:, None]
        matches = ((responses[:, :width] == sums[:, :width]) | ~inside).all(dim=1)
        exact = finished & (length == self.long_length) & matches
        short = finished & (length == self.short_length)

        previous = torch.nn.functional.pad(responses[:, : width - 1], (1, 0))
        follows = (previous + prompts[:, :width]) % self.modulus == responses[:, :width]
        taken = inside & long[:, None]
        return Verdict(
            answer=answer,
            chain=torch.where(short, answer, exact),
            finished=finished,
            long=long,
            length=length,
            steps=taken.sum(dim=1),
            steps_right=(follows & taken).sum(dim=1),
        )


register("running_sum", RunningSumSettings, RunningSum)
