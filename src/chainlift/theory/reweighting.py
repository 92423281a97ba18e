"""The change of the policy if RL only makes long responses more frequent: which decisions, and by how much.

A policy that always answers long and right differs from the base model of D(p_cot) in two decisions: the first token
and the decision to go on. docs/theory.md has the derivation.
"""

from __future__ import annotations

import math

from chainlift.theory.closed_forms import check, first_token_probability, go_on_probability


def mode_kl(p: float, modulus: int) -> tuple[float, float]:
    """KL(always long || base) as (nats at the first token, nats at the decision to go on); infinite at p = 0.

    The base model opens the chain with probability (1 + (K-1) p) / K and goes on with K p / (1 + (K-1) p). Their
    product is p, so the whole divergence is log(1 / p). All later tokens are certain in both models.
    """
    check(p=p, modulus=modulus)
    if p == 0:
        return -math.log(first_token_probability(p, modulus)), math.inf
    return -math.log(first_token_probability(p, modulus)), -math.log(go_on_probability(p, modulus))
