"""STaR in closed form: sample, keep the rewarded responses, fit them exactly, and repeat.

A round multiplies the odds long : short by K r, where r is the probability that a long response is kept (long_reward)
and 1/K that of a short one. So STaR is a walk of one log-odds. Assumptions: each fit reaches its minimum, and r is
constant over rounds, so the steps of chains are neither learned nor forgotten.

The marker option of closed_forms changes only where greedy flips, not the odds. K = 2, r = 1 is from arXiv 2510.11495,
as others report it; the rest is derived here.
"""

from __future__ import annotations

import math

from chainlift.theory.closed_forms import check, greedy, log_odds, long_reward, sigmoid

TIE = 1e-9  # log-odds closer to zero than this are a tie up to rounding


def star_next_share(p: float, modulus: int, *, q: float = 1.0, reward: str = "chain") -> float:
    """Share of long responses among those that STaR keeps, p r / (p r + (1 - p) / K); p is their share of the samples.

    Short responses are right, and kept, with probability 1/K, long ones with r. If a chain is right with probability q,
    r = q for the reward "chain". For "end_to_end" a derailed chain is assumed to end in a uniform guess, so
    r = q + (1 - q) / K. The share grows iff r > 1/K: with "chain" iff q > 1/K, with "end_to_end" for every q > 0. For
    q = 1 at temperature 1 the kept set is the mixture D(p') with p' = Kp / (1 + (K-1) p): the odds p/(1-p) times K.
    """
    check(p=p, modulus=modulus)
    kept_long = p * long_reward(modulus, q=q, reward=reward)
    kept = kept_long + (1 - p) / modulus
    if kept == 0:
        raise ValueError("STaR keeps nothing where all responses are long and no chain is right (p_cot 1, q 0)")
    return kept_long / kept


def star_share_after(p: float, rounds: int, modulus: int, *, q: float = 1.0, reward: str = "chain") -> float:
    """p_n, the long share after n `rounds` of STaR at temperature 1: the odds p / (1 - p) grow by (K r)^n."""
    check(p=p, modulus=modulus)
    if rounds < 0:
        raise ValueError(f"rounds is {rounds}; allowed: 0 and more")
    factor = modulus * long_reward(modulus, q=q, reward=reward)
    if p in (0.0, 1.0) or rounds == 0:
        return p
    return sigmoid(log_odds(p) + rounds * math.log(factor)) if factor else 0.0


def star_rounds_to_share(p: float, share: float, modulus: int, *, q: float = 1.0, reward: str = "chain") -> int | None:
    """Rounds of STaR at temperature 1 until the long share is at least `share` (below 1); None if it never is.

    It is the least n with (K r)^n p / (1 - p) >= share / (1 - share): the difference of the two log-odds divided by
    log(K r), rounded up. ValueError unless 0 <= share < 1.
    """
    check(p=p, modulus=modulus)
    growth = modulus * long_reward(modulus, q=q, reward=reward)
    if not 0 <= share < 1:
        raise ValueError(f"share is {share}; allowed: 0 to below 1 (1 is a limit, reached after no number of rounds)")
    if p >= share:
        return 0
    if p == 0 or growth <= 1:
        return None
    missing = log_odds(share) - log_odds(p)
    return math.ceil(missing / math.log(growth) - TIE)


def star_rounds_to_flip(
    p: float,
    modulus: int,
    *,
    temperature: float = 1.0,
    fit_temperature: float = 1.0,
    marker: bool = False,
    q: float = 1.0,
    reward: str = "chain",
) -> int | None:
    """Rounds of STaR, sampling at `temperature`, until greedy goes long; None if it never does.

    Let u be the log-odds of the long form at the decision where greedy chooses it. It begins at log(Kp / (1 - p)), with
    a marker at log(p / (1 - p)); greedy is long iff u > 0. Sampling divides u by the temperature t, keeping adds
    log(K r), and the fit at the temperature s (the loss sees logits / s) multiplies by s: u' = s (log(K r) + u / t).

    - s = 1, t = 1: the least n with (K r)^n Kp > 1 - p, O(log((1 - p) / p)).
    - s = 1, t > 1: no more rounds than that.
    - s = 1, t < 1: STaR dies out below the fixed point; for r = 1 iff Kp / (1 - p) <= K^(-t / (1 - t)), for K = 2 and
      t = .75 iff p <= 1/17.
    - s = t, chainlift's loop, which scores at the temperature of sampling: u' = u + t log(K r). It never dies out if
      K r > 1, and a high temperature speeds it up.
    """
    check(p=p, modulus=modulus, temperature=temperature)
    check(temperature=fit_temperature)
    growth = modulus * long_reward(modulus, q=q, reward=reward)
    if p == 0 or greedy(p, modulus, marker=marker) == "long":
        return 0 if p else None
    if growth == 0:
        return None
    u = log_odds(p) + (0.0 if marker else math.log(modulus))
    shift, slope, rounds = fit_temperature * math.log(growth), fit_temperature / temperature, 0
    if slope == 1:
        return math.floor((TIE - u) / shift) + 1 if shift > TIE else None
    while rounds == 0 or u <= TIE:
        next_u = shift + slope * u
        if next_u <= u + TIE:
            return None
        u, rounds = next_u, rounds + 1
    return rounds
