"""The gradient is that of the expected reward: every response of a tiny task is enumerated, none is sampled."""

import itertools

import pytest
import torch
from torch import Tensor

from chainlift.learning import advantage, objective
from chainlift.learning.likelihood import log_probs
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import PRESETS, Objective
from chainlift.learning.rollout import Rollout
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream

EOS, MAX_TOKENS = 2, 2
# With the tokens 0, 1, EOS and at most two tokens: EOS alone, or one of 0, 1 and any second token.
RESPONSES = [(EOS,), *itertools.product((0, 1), (0, 1, EOS))]
REWARD = {response: float(response in {(0, EOS), (1, 1)}) + 0.5 * float(response == (EOS,)) for response in RESPONSES}


def make() -> Transformer:
    model = Transformer(ModelSettings(layers=1, width=8, heads=2), 3, 4).initialize(stream(0, "model")).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model


def rollout_of(model: Transformer, responses: list[tuple[int, ...]]) -> Rollout:
    """A rollout that holds the given responses to the prompt (0, 1)."""
    prompts = torch.tensor([[0, 1]])
    padded = torch.tensor([[*response, *[EOS] * (MAX_TOKENS - len(response))] for response in responses])
    num_actions = torch.tensor([len(response) for response in responses])
    rows = torch.zeros(len(responses), dtype=torch.long)
    prefix, last = split_prompts(prompts)
    with torch.no_grad():
        logp = log_probs(model, model.prefill(prefix), last, padded, rows)
    mask = torch.arange(MAX_TOKENS) < num_actions[:, None]
    return Rollout(prompts, rows, padded, logp * mask, num_actions, torch.zeros(()))


def gradient(model: Transformer) -> Tensor:
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return found


def probabilities(model: Transformer) -> Tensor:
    """(number of responses,) each response's probability, differentiable."""
    prompts = torch.tensor([[0, 1]])
    prefix, last = split_prompts(prompts)
    every = rollout_of(model, RESPONSES)
    logp = log_probs(model, model.prefill(prefix), last, every.responses, every.rows)
    return (logp * every.mask).sum(dim=1).exp()


def test_the_enumeration_is_complete() -> None:
    assert float(probabilities(make()).detach().sum()) == pytest.approx(1.0)


# Expected gradient = c * gradient of the expected reward, with the constant c of the estimator for a group of two.
UNBIASED = {
    "reinforce": (PRESETS["reinforce"].model_copy(update={"advantage": "none"}), 1.0),
    "reinforce with the batch's mean": (PRESETS["reinforce"], 1 / 2),  # r - mean of G holds back its own 1/G
    "rloo": (PRESETS["rloo"], 1.0),
    "dr_grpo": (PRESETS["dr_grpo"], 1 / 2 / MAX_TOKENS),  # 1 - 1/G, over the constant length
}


@pytest.mark.parametrize("name", UNBIASED)
def test_expected_update_is_the_gradient_of_the_expected_reward(name: str) -> None:
    """All 49 ordered pairs of responses, weighted by their probability; what differs is float32 rounding of log-
    probabilities.
    """
    chosen, constant = UNBIASED[name]
    model = make()
    rewards = torch.tensor([REWARD[response] for response in RESPONSES], dtype=torch.float64)
    (probabilities(model) * rewards).sum().backward()
    exact = gradient(model)
    expected = torch.zeros_like(exact)
    chances = probabilities(model).detach()
    for (i, one), (j, other) in itertools.product(enumerate(RESPONSES), repeat=2):
        expected += chances[i] * chances[j] * update_of(model, [one, other], chosen)
    torch.testing.assert_close(-expected, constant * exact, atol=3e-8, rtol=1e-5)
    assert float(exact.norm()) > 0.1


def update_of(model: Transformer, responses: list[tuple[int, ...]], chosen: Objective) -> Tensor:
    """The loss's gradient for one group of responses."""
    found = rollout_of(model, responses)
    rewards = torch.tensor([[REWARD[response] for response in responses]], dtype=torch.float64)
    advantages = advantage.estimate(rewards, chosen.advantage).flatten()
    weights = objective.sequence_weights(found.num_actions, chosen.aggregate, max_length=MAX_TOKENS).double()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    accumulate_gradient(model, PolicyBatch(found, advantages, weights, on_policy=True), chosen, temperature=1.0)
    return gradient(model)


def test_stopping_is_an_action_with_a_gradient() -> None:
    """Rewarding the response that is only EOS must raise the probability of EOS as first token."""
    model = make()
    before = float(probabilities(model)[0].detach())
    update = update_of(model, [(EOS,), (1, 0)], UNBIASED["rloo"][0])
    with torch.no_grad():
        flat = torch.nn.utils.parameters_to_vector(model.parameters())
        torch.nn.utils.vector_to_parameters(flat - 0.01 * update, model.parameters())
    assert float(probabilities(model)[0].detach()) > before


def test_grpo_on_policy_is_reinforce_with_group_baseline_and_lengths() -> None:
    model, pair = make(), [(1, 1), (EOS,)]
    plain = PRESETS["reinforce"].model_copy(update={"advantage": "group_zscore", "aggregate": "sequence_mean"})
    torch.testing.assert_close(update_of(model, pair, PRESETS["grpo"]), update_of(model, pair, plain))
