"""A family that defines `forward` alone: sampling, scoring and updates by the defaults of models/model.py."""

import pytest
import torch
from torch import Tensor, nn

from chainlift.learning import objective
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import PRESETS
from chainlift.learning.rollout import sample
from chainlift.models import passes
from chainlift.models.model import Model
from chainlift.models.protocol import split_prompts
from chainlift.seeding import stream

VOCABULARY, PROMPT, RESPONSE, PROMPTS, GROUP = 4, 5, 6, 3, 4
EOS = VOCABULARY - 1


class Recurrent(Model):
    """A recurrent network, whose state no method hands out."""

    def __init__(self) -> None:
        super().__init__(None, VOCABULARY, PROMPT + RESPONSE)
        self.embedding, self.cell = nn.Embedding(VOCABULARY, 8), nn.RNN(8, 8, batch_first=True)
        self.head = nn.Linear(8, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.cell(self.embedding(tokens))[0])


@pytest.fixture
def model() -> Recurrent:
    found = Recurrent().initialize(stream(0, "model"))
    with torch.no_grad():
        for parameter in found.cell.parameters():
            parameter.normal_(std=0.5, generator=stream(0, "cell"))
    return found


@pytest.fixture
def prompts() -> Tensor:
    return torch.randint(EOS, (PROMPTS, PROMPT), generator=stream(0, "prompts"))


@torch.no_grad()
def test_decoding_equals_the_forward_pass_while_rows_spread_and_leave(
    model: Recurrent, prompts: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(passes.TOKENS_PER_PASS, "cpu", 16)  # so that a step is several passes
    prefix, last = split_prompts(prompts)
    tokens = torch.randint(VOCABULARY, (PROMPTS * GROUP, RESPONSE), generator=stream(0, "tokens"))
    tokens[:, 0] = last[:, 0].repeat_interleave(GROUP)
    expected = model.forward(torch.cat([prefix.repeat_interleave(GROUP, dim=0), tokens], dim=1))[:, PROMPT - 1 :]
    decoder = model.decoder(model.prefill(prefix), RESPONSE)
    first = decoder.step(last[:, 0])
    decoder.spread(GROUP)
    torch.testing.assert_close(first.repeat_interleave(GROUP, dim=0), expected[:, 0])
    rows = torch.arange(PROMPTS * GROUP)
    for column in range(1, RESPONSE):
        if column == 3:
            decoder.keep(rows[::3])
            rows = rows[::3]
        torch.testing.assert_close(decoder.step(tokens[rows, column]), expected[rows, column])


@torch.no_grad()
def test_recorded_log_probabilities_are_those_of_the_forward_pass(model: Recurrent, prompts: Tensor) -> None:
    found = sample(
        model, prompts, eos=EOS, max_tokens=RESPONSE, group_size=GROUP, temperature=1.3, generator=stream(0, "samples")
    )
    logits = model.forward(torch.cat([found.row_prompts, found.responses[:, :-1]], dim=1))[:, PROMPT - 1 :]
    logp = (logits / 1.3).log_softmax(dim=-1).gather(2, found.responses[:, :, None])[:, :, 0]
    torch.testing.assert_close(found.logp, logp * found.mask)


def test_a_policy_update_has_the_gradient_of_whole_sequences(model: Recurrent, prompts: Tensor) -> None:
    found = sample(model, prompts, eos=EOS, max_tokens=RESPONSE, group_size=GROUP, generator=stream(0, "samples"))
    advantages = torch.empty(len(found.rows)).normal_(generator=stream(0, "advantages"))
    weights = objective.sequence_weights(found.num_actions, "sequence_mean", max_length=RESPONSE)
    accumulate_gradient(model, PolicyBatch(found, advantages, weights, True), PRESETS["grpo"], temperature=1.0)
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    logits = model.forward(torch.cat([found.row_prompts, found.responses[:, :-1]], dim=1))[:, PROMPT - 1 :]
    logp = logits.log_softmax(dim=-1).gather(2, found.responses[:, :, None])[:, :, 0]
    objective.loss(logp, logp.detach(), advantages, found.mask, weights, PRESETS["grpo"])[0].backward()
    assert len(gradients) == len(list(model.parameters()))
    assert max(float(gradient.norm()) for gradient in gradients) > 1e-3
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-6, rtol=1e-4)
