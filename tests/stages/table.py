"""A policy that is a table of logits over the tokens 0, 1 and EOS: at the beginning, after 0 and after 1.

Responses have at most two tokens, so that all of them can be enumerated.
"""

import itertools

import torch
from torch import Tensor, nn

from chainlift.learning.rollout import Rollout
from chainlift.models.model import Model
from chainlift.seeding import stream
from chainlift.settings import Settings

EOS = 2
RESPONSES = [(EOS,), *itertools.product((0, 1), (0, 1, EOS))]
REWARDS = torch.tensor([1.0, 1.0, 0.0, 0.5, 0.0, 0.0, 1.0])
STATES = torch.tensor([[0, 0], *([0, 1 + first] for first, _ in RESPONSES[1:])])
MASK = torch.tensor([[True, len(response) == 2] for response in RESPONSES])


class Table(Model):
    """Logits (3, 3) by state; a family without a module `head`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(Settings(), 3, 3)
        self.logits_of = nn.Parameter(torch.randn(3, 3, generator=stream(seed, "table")))

    def forward(self, tokens: Tensor) -> Tensor:
        states = (1 + tokens).clamp(max=2)  # behind EOS any state will do
        states[:, 0] = 0  # behind the prompt, which is one token
        return self.logits_of[states]


def token_logp(logits: Tensor) -> Tensor:
    """(responses, 2) log-probabilities of the tokens, 0 on padding."""
    tokens = torch.tensor([[*response, EOS][:2] for response in RESPONSES])
    return logits.log_softmax(dim=1)[STATES, tokens] * MASK


def every_response(logits: Tensor) -> Rollout:
    """All responses, as if each had been sampled once by the policy of these logits."""
    return Rollout(
        prompts=torch.tensor([[EOS]]),
        rows=torch.zeros(len(RESPONSES), dtype=torch.long),
        responses=torch.tensor([[*response, EOS][:2] for response in RESPONSES]),
        logp=token_logp(logits).detach(),
        num_actions=MASK.sum(dim=1),
        entropy=torch.zeros(()),
    )


def chances(logits: Tensor) -> Tensor:
    """(responses,)."""
    return token_logp(logits).sum(dim=1).exp()
