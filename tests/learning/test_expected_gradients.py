"""Every term of every loss has the gradient that it stands for, in expectation: all groups are enumerated.

A policy is a table of logits over the tokens 0, 1 and EOS: at the beginning, after 0 and after 1. Responses have at
most two tokens. The expected gradient of the loss, over all groups of three that the sampler may draw, is compared with
the gradient of what the loss is an estimator of, written down with probabilities instead of samples.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from chainlift.learning import advantage, objective
from chainlift.learning.presets import PRESETS, Aggregate, Objective

EOS, MAX_LENGTH, GROUP = 2, 2, 3
RESPONSES = [(EOS,), *itertools.product((0, 1), (0, 1, EOS))]
GROUPS = torch.tensor(list(itertools.product(range(len(RESPONSES)), repeat=GROUP)))
MASK = torch.tensor([[True, len(response) == 2] for response in RESPONSES])
NUM_ACTIONS = MASK.sum(dim=1)
RIGHT = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
LENGTH = torch.tensor([sum(token != EOS for token in response) for response in RESPONSES])


def table(seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


OLD, START = table(0), table(1)
NEAR = OLD + table(2, 0.02)
WIDE = {"clip_low": 0.999, "clip_high": 1e9}  # so wide that nothing is cut, for later updates of a round


def token_logp(logits: Tensor) -> Tensor:
    """(responses, 2) log-probabilities of the tokens, 0 on padding."""
    logp = logits.log_softmax(dim=1)
    rows = [[logp[0, r[0]], logp[1 + r[0], r[1]] if len(r) == 2 else logp.new_zeros(())] for r in RESPONSES]
    return torch.stack([torch.stack(row) for row in rows])


def probabilities(logits: Tensor) -> Tensor:
    """(responses,)."""
    return token_logp(logits).sum(dim=1).exp()


def chances_of_groups(sampler: Tensor) -> Tensor:
    """(groups,) how likely the sampler draws each."""
    return probabilities(sampler)[GROUPS].prod(dim=1)


def weighted_advantages(chosen: Objective, rewards: Tensor) -> tuple[Tensor, Tensor]:
    """(advantages (groups, 3), weights (groups, 3)) as a round of one group makes them."""
    advantages = torch.stack([advantage.estimate(own[None], chosen.advantage)[0] for own in rewards[GROUPS]])
    counted = advantages > 0 if chosen.advantage == "accept" else torch.ones_like(advantages, dtype=torch.bool)
    return advantages, weights_of(chosen.aggregate, counted)


def weights_of(aggregate: Aggregate, counted: Tensor) -> Tensor:
    found = [
        objective.sequence_weights(lengths, aggregate, max_length=MAX_LENGTH, counted=own)
        for lengths, own in zip(NUM_ACTIONS[GROUPS], counted, strict=True)
    ]
    return torch.stack(found).double()


def expected_loss_gradient(logits: Tensor, sampler: Tensor, chosen: Objective, rewards: Tensor) -> Tensor:
    """(3, 3) minus the mean gradient of `objective.loss` over groups from the sampler; losses add up over rows."""
    logits = logits.clone().requires_grad_()
    logp, rows = token_logp(logits), GROUPS.flatten()
    recorded = logp.detach() if logits.equal(sampler) else token_logp(sampler)
    advantages, weights = weighted_advantages(chosen, rewards)
    weights = (weights * chances_of_groups(sampler)[:, None]).flatten()
    total, _ = objective.loss(logp[rows], recorded[rows], advantages.flatten(), MASK[rows], weights, chosen)
    return -torch.autograd.grad(total, logits)[0]


def exact_gradient(logits: Tensor, sampler: Tensor, chosen: Objective, rewards: Tensor) -> Tensor:
    """(3, 3) gradient of what the surrogate is an estimator of.

    worth[y] = G E[w A of a sample y beside G - 1 others of the sampler]; then
    no ratio       E_sampler[worth log pi(y)]; its gradient is that of E_pi[worth] where pi is the sampler
    sequence       E_pi[n worth]: n equal terms
    sequence_mean  E_sampler[n worth (pi(y) / sampler(y))^(1 / n)]
    token          sum over prefixes, as the sampler makes them, of E_pi(token | prefix)[worth of prefix and token]
    """
    logits = logits.clone().requires_grad_()
    policy, chances = probabilities(logits), probabilities(sampler)
    advantages, weights = weighted_advantages(chosen, rewards)
    worth = _of_first(GROUP * chances[GROUPS[:, 1:]].prod(dim=1) * weights[:, 0] * advantages[:, 0])
    if chosen.ratio == "none":
        on_policy = logits.equal(sampler)
        value = (policy * worth).sum() if on_policy else (chances * worth * policy.log()).sum()
    elif chosen.ratio == "sequence":
        value = (policy * NUM_ACTIONS * worth).sum()
    elif chosen.ratio == "sequence_mean":
        value = (chances * NUM_ACTIONS * worth * (policy / chances) ** (1 / NUM_ACTIONS)).sum()
    else:
        value = _value_at_prefixes(logits, sampler, worth)
    return torch.autograd.grad(value, logits)[0]


def _of_first(values: Tensor) -> Tensor:
    """(responses,) sums of values (groups,) over the groups that begin with each response."""
    return torch.zeros(len(RESPONSES), dtype=values.dtype).index_add(0, GROUPS[:, 0], values)


def _value_at_prefixes(logits: Tensor, sampler: Tensor, worth: Tensor) -> Tensor:
    """Sum over prefixes of (chance of the prefix) * E[mean worth of what the sampler makes of prefix and token]."""
    policy, old = logits.softmax(dim=1), sampler.softmax(dim=1)
    of = dict(zip(RESPONSES, worth, strict=True))
    after = [sum(old[1 + token, nxt] * of[token, nxt] for nxt in range(3)) for token in (0, 1)]
    value = policy[0] @ torch.stack([*map(torch.as_tensor, after), of[EOS,]])
    for token in (0, 1):
        value = value + old[0, token] * (policy[1 + token] @ torch.stack([of[token, nxt] for nxt in range(3)]))
    return value


@pytest.mark.parametrize("penalty", [0.0, 0.3])
@pytest.mark.parametrize("name", [*PRESETS, "plain reinforce"])
def test_on_policy_the_surrogate_has_the_gradient_of_the_expected_advantage(name: str, penalty: float) -> None:
    chosen = _objective(name)
    rewards = RIGHT - penalty * LENGTH / MAX_LENGTH
    exact = exact_gradient(OLD, OLD, chosen, rewards)
    torch.testing.assert_close(expected_loss_gradient(OLD, OLD, chosen, rewards), exact, atol=1e-7, rtol=1e-5)
    assert float(exact.norm()) > 0.01


@pytest.mark.parametrize("name", [*PRESETS, "plain reinforce"])
def test_off_policy_the_surrogate_has_the_gradient_of_what_it_corrects_for(name: str) -> None:
    chosen = _objective(name)
    if chosen.clip != "none":
        chosen = chosen.model_copy(update=WIDE)
    exact = exact_gradient(NEAR, OLD, chosen, RIGHT)
    torch.testing.assert_close(expected_loss_gradient(NEAR, OLD, chosen, RIGHT), exact, atol=1e-7, rtol=1e-5)
    assert float((exact - exact_gradient(OLD, OLD, chosen, RIGHT)).norm()) > 1e-4, "the policy has not moved"


def test_plain_reinforce_is_the_gradient_of_the_expected_reward() -> None:
    logits = OLD.clone().requires_grad_()
    rewards = RIGHT - 0.3 * LENGTH / MAX_LENGTH
    exact = torch.autograd.grad((probabilities(logits) * rewards).sum(), logits)[0]
    found = expected_loss_gradient(OLD, OLD, _objective("plain reinforce"), rewards)
    torch.testing.assert_close(found, exact, atol=1e-7, rtol=1e-5)


def expected_kl_gradient(logits: Tensor, sampler: Tensor, aggregate: Aggregate) -> Tensor:
    """(3, 3) mean gradient of `objective.kl_to_start` over groups from the sampler."""
    logits = logits.clone().requires_grad_()
    logp, rows = token_logp(logits), GROUPS.flatten()
    recorded = logp.detach() if logits.equal(sampler) else token_logp(sampler)
    weights = weights_of(aggregate, torch.ones_like(GROUPS, dtype=torch.bool))
    weights = (weights * chances_of_groups(sampler)[:, None]).flatten()
    term = objective.kl_to_start(logp[rows], recorded[rows], token_logp(START)[rows], MASK[rows], weights)
    return torch.autograd.grad(term, logits)[0]


FAR = OLD + table(3, 0.5)


@pytest.mark.parametrize(("aggregate", "constant"), [("sequence_sum", 1.0), ("max_length", 1 / MAX_LENGTH)])
@pytest.mark.parametrize("logits", [OLD, FAR], ids=["on policy", "off policy"])
def test_the_kl_term_has_the_gradient_of_kl_from_policy_to_start(
    logits: Tensor, aggregate: Aggregate, constant: float
) -> None:
    """KL(policy || start) of the next token at each prefix, prefixes as frequent as the sampler makes them."""
    moving = logits.clone().requires_grad_()
    logp, start = moving.log_softmax(dim=1), START.log_softmax(dim=1)
    divergence = (logp.exp() * (logp - start)).sum(dim=1)
    prefixes = torch.cat([torch.ones(1, dtype=torch.float64), OLD.softmax(dim=1)[0, :2]])
    exact = torch.autograd.grad(constant * prefixes @ divergence, moving)[0]
    found = expected_kl_gradient(logits, OLD, aggregate)
    torch.testing.assert_close(found, exact, atol=1e-7, rtol=1e-5)
    reverse = (start.exp() * (start - moving.log_softmax(dim=1))).sum(dim=1)
    assert not torch.allclose(found, torch.autograd.grad(constant * prefixes @ reverse, moving)[0], atol=0.01)


@pytest.mark.parametrize("aggregate", ["sequence_mean", "token_mean"])
@pytest.mark.parametrize("logits", [OLD, FAR], ids=["on policy", "off policy"])
def test_the_kl_term_keeps_its_direction_under_weights_that_depend_on_lengths(
    logits: Tensor, aggregate: Aggregate
) -> None:
    """The same by hand: a token's part of the gradient is w r (l - f) grad l, the log-ratio times the score."""
    moving = logits.clone().requires_grad_()
    logp, old, start, chances = token_logp(moving), token_logp(OLD), token_logp(START), probabilities(OLD)
    weights = weights_of(aggregate, torch.ones_like(GROUPS, dtype=torch.bool))
    worth = _of_first(GROUP * chances[GROUPS].prod(dim=1) * weights[:, 0])
    part = (logp - old).exp().detach() * (logp - start).detach() * MASK
    exact = torch.autograd.grad((worth[:, None] * part * logp).sum(), moving)[0]
    torch.testing.assert_close(expected_kl_gradient(logits, OLD, aggregate), exact, atol=1e-7, rtol=1e-5)


def test_five_responses_of_one_token_by_hand() -> None:
    """d KL / d logit = pi (log(pi / start) - KL), with pi = (.5, .2, .1, .1, .1), start = (.1, .2, .3, .2, .2).

    KL = .5 log 5 + .1 log(1/3) + .2 log(1/2) = .556228; without the ratio the gradient would be pi - start.
    """
    policy = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.1], dtype=torch.float64)
    start = torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2], dtype=torch.float64)
    logits = policy.log().requires_grad_()
    logp = logits.log_softmax(dim=0)[:, None]
    mask = torch.ones(5, 1, dtype=torch.bool)
    term = objective.kl_to_start(logp, logp.detach(), start.log()[:, None], mask, policy)
    assert float(term.detach()) == pytest.approx(0.556228, abs=1e-6)
    by_hand = torch.tensor([0.526605, -0.111246, -0.165484, -0.124938, -0.124938], dtype=torch.float64)
    torch.testing.assert_close(torch.autograd.grad(term, logits)[0], by_hand, atol=1e-6, rtol=0)


def _objective(name: str) -> Objective:
    plain = PRESETS["reinforce"].model_copy(update={"advantage": "none"})
    return plain if name == "plain reinforce" else PRESETS[name]
