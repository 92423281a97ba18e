"""RL changes the mode, not the skill: where its policy left the base, and pass@k on either side."""

from __future__ import annotations

from functools import partial

from chainlift.claims import Axis, Check, Claim, Finished
from chainlift.claims.reweighting.figure import compared, pictures
from chainlift.claims.rl_lifts.claim import RUNS, SEEDS
from chainlift.theory.groups import pass_at_k
from chainlift.theory.reweighting import mode_kl

_pass_at_k = partial(Check, "pass@k", axis=Axis("k", "{series}, k {x}"), share=True)
GOLD = "sampled long responses that are gold"


def second_kl(run: Finished) -> float:
    """KL at the second token, which decides to go on."""
    return compared(run).kl[1]


def later_kl(run: Finished) -> float:
    """KL of all tokens from the third on, weighted by how many samples reach them."""
    both = compared(run)
    return sum(both.kl[i] * both.reached[i] for i in range(2, len(both.kl)))


def largest_kl(run: Finished) -> float:
    """The number of the token at which KL is largest, from 1 on."""
    kl = compared(run).kl
    return float(kl.index(max(kl)) + 1)


CLAIM = Claim(
    "reweighting",
    "RL changes the mode, not the skill: its KL to the base sits at the first token and the decision to go on, and "
    "the base's pass@k reaches what RL makes the first answer",
    RUNS,
    (
        Check("KL at the first token (nats)", lambda run: compared(run).kl[0], lambda at: mode_kl(at.p, 2)[0], 0.2),
        Check("KL at the decision to go on (nats)", second_kl, lambda at: mode_kl(at.p, 2)[1], 0.25),
        Check("KL at all later tokens together (nats)", later_kl, 0.0, 0.25),
        Check("token at which KL is largest", largest_kl, 2.0),
        Check(GOLD, "sampled_chain_exactness", 1.0, 0.05, series="before RL"),
        Check(GOLD, "sampled_chain_exactness", 1.0, 0.05, "posttrain", series="after RL"),
        _pass_at_k(lambda run: compared(run).before, lambda at: pass_at_k(at.p, at.x, 2), 0.05, series="before RL"),
        _pass_at_k(lambda run: compared(run).after, 1.0, 0.02, series="after RL"),
    ),
    seeds=SEEDS,
    order=70,
    pictures=pictures,
)
