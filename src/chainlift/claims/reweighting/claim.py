"""RL changes the mode, not the skill: the KL divergence to the base by position, and pass@k before and after RL."""

from __future__ import annotations

from functools import partial

from chainlift.claims import Axis, Check, Claim, Finished, Place
from chainlift.claims.reweighting.figure import comparison, pictures
from chainlift.claims.rl_lifts.claim import RUNS, SEEDS
from chainlift.theory.groups import pass_at_k
from chainlift.theory.reweighting import mode_kl

_pass_at_k = partial(Check, "pass@k", axis=Axis("k", "{series}, k {x}"), share=True)
GOLD = "sampled long responses that are gold"


def first_kl(run: Finished) -> float:
    """The KL at the first token."""
    return comparison(run).kl[0]


def second_kl(run: Finished) -> float:
    """The KL at the second token, which decides to go on."""
    return comparison(run).kl[1]


def later_kl(run: Finished) -> float:
    """The sum of the KL at all tokens from the third on, weighted by the share of samples that reach them."""
    before_after = comparison(run)
    return sum(before_after.kl[i] * before_after.reached[i] for i in range(2, len(before_after.kl)))


def largest_kl(run: Finished) -> float:
    """The number of the token with the largest KL, counted from 1."""
    kl = comparison(run).kl
    return float(kl.index(max(kl)) + 1)


def predicted_pass_at_k(place: Place) -> float:
    """The predicted pass@k before RL, with k = x."""
    return pass_at_k(place.p, place.x, 2)


CLAIM = Claim(
    "reweighting",
    "RL changes the mode, not the skill: its KL to the base sits at the first token and the decision to go on, and "
    "the base's pass@k reaches what RL makes the first answer",
    RUNS,
    (
        Check("KL at the first token (nats)", first_kl, lambda place: mode_kl(place.p, 2)[0], 0.2),
        Check("KL at the decision to go on (nats)", second_kl, lambda place: mode_kl(place.p, 2)[1], 0.25),
        Check("KL at all later tokens together (nats)", later_kl, 0.0, 0.25),
        Check("token at which KL is largest", largest_kl, 2.0),
        Check(GOLD, "sampled_chain_exactness", 1.0, 0.05, series="before RL"),
        Check(GOLD, "sampled_chain_exactness", 1.0, 0.05, "posttrain", series="after RL"),
        _pass_at_k(lambda run: comparison(run).before, predicted_pass_at_k, 0.05, series="before RL"),
        _pass_at_k(lambda run: comparison(run).after, 1.0, 0.02, series="after RL"),
    ),
    seeds=SEEDS,
    order=70,
    pictures=pictures,
)
