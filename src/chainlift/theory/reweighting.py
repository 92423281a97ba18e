"""What RL must change if it only makes long answers more frequent: which decisions, and by how much.

A policy that always answers long and right, compared with the base model of D(p_cot), differs in two places: the first
token and the decision to go on. Derived in docs/theory.md.
"""

from __future__ import annotations

import math

from chainlift.theory.closed_forms import check, first_token_probability, go_on_probability


def mode_kl(p: float, modulus: int) -> tuple[float, float]:
    """(nats at the first token, nats at the decision to go on) of KL(always long || base), for 0 < p <= 1.

    The base opens the chain with (1 + (K-1) p) / K and goes on with K p / (1 + (K-1) p); their product is p, so that
    the whole divergence is log(1 / p): all later tokens are equally sure in both. Derived in docs/theory.md.
    """
    check(p=p, modulus=modulus)
    if p == 0:
        return -math.log(first_token_probability(p, modulus)), math.inf
    return -math.log(first_token_probability(p, modulus)), -math.log(go_on_probability(p, modulus))
