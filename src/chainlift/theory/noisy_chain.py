"""Closed forms for the blind learner if demonstrated chains contain slips on which the rest of the chain builds.

Each of a chain's L steps is wrong with probability e, independently, and is then one of the K - 1 other symbols, all
equally likely. The learner cannot tell slips from right steps, so it copies the rate of slips as it copies the share of
long demonstrations. So samples at temperature 1 are the mixture itself, slips included. Greedy decoding makes no slips:
it takes the right step as long as that is the likeliest, 1 - e > e / (K - 1). All of this is derived here.

Functions of p, K and e take (p, modulus, noise); those that need L take (length, modulus, noise).
"""

from __future__ import annotations

from typing import Any

from chainlift.theory.closed_forms import LONG_REWARDS, check, derailed_accuracy


def threshold(modulus: int, noise: float) -> float:
    """The p_cot above which greedy goes long, 1 / (1 + K (1 - e)); 1 if greedy does not begin with the right step.

    After the right first token the odds long : short are p (1 - e) : (1 - p) / K (go_on_probability). Greedy begins
    with that token if 1 - e > e / (K - 1). At e = 0 the threshold is 1 / (K + 1).
    """
    _check(modulus, noise)
    return 1 / (1 + modulus * (1 - noise)) if noise < 1 - 1 / modulus else 1.0


def first_token_probability(p: float, modulus: int, noise: float) -> float:
    """P(y_1 = x_1) = p (1 - e) + (1 - p) / K: chains that begin right, and a share 1/K of the short answers."""
    _check(modulus, noise, p)
    return p * (1 - noise) + (1 - p) / modulus


def go_on_probability(p: float, modulus: int, noise: float) -> float:
    """P(no <eos> after y_1 = x_1): the share of such starts that are chains."""
    first = first_token_probability(p, modulus, noise)
    return p * (1 - noise) / first if first else 0.0


def chain_accuracy(length: int, noise: float) -> float:
    """q = (1 - e)^L: the probability that a sampled chain is right throughout."""
    return (1 - noise) ** length


def answer_accuracy(length: int, modulus: int, noise: float) -> float:
    """Probability that a sampled chain ends in the right answer: it has no slips, or its slips cancel."""
    q, canceled = derailed_accuracy(length, modulus, 1 - noise)
    return q + (1 - q) * canceled


def kept_long(length: int, modulus: int, noise: float, reward: str) -> float:
    """Probability that a sampled chain earns its reward: q for "chain", the answer's accuracy for "end_to_end"."""
    if reward not in LONG_REWARDS:
        raise ValueError(f"reward is {reward!r}; there are predictions for {', '.join(LONG_REWARDS)}")
    return chain_accuracy(length, noise) if reward == "chain" else answer_accuracy(length, modulus, noise)


def sampled_accuracy(p: float, length: int, modulus: int, noise: float) -> float:
    """Accuracy of samples at temperature 1: p times the accuracy of chains, plus (1 - p) / K."""
    _check(modulus, noise, p)
    return p * answer_accuracy(length, modulus, noise) + (1 - p) / modulus


def star_next_share(p: float, length: int, modulus: int, noise: float, reward: str) -> float:
    """Long share after one round of STaR, p r / (p r + (1 - p) / K), r = kept_long; it grows iff r > 1/K.

    With "chain" it grows iff q > 1/K. Only right chains are kept then, so r = 1 from the next round on.
    """
    _check(modulus, noise, p)
    kept = p * kept_long(length, modulus, noise, reward)
    if kept + (1 - p) == 0:
        raise ValueError("STaR keeps nothing where all responses are long and no chain is right (p_cot 1, noise 1)")
    return kept / (kept + (1 - p) / modulus)


def predictions(length: int, modulus: int, p: float, noise: float, reward: str | None) -> dict[str, Any]:
    """The keys of forecast.predictions, at temperature 1; None for values that are not derived.

    reward: that of RL, None without RL. The limit of RL is predicted if the long share grows from the start, and if
    there are predictions for the reward.
    """
    flip = threshold(modulus, noise)
    long = p > flip
    limit = {
        "greedy_accuracy": 1.0,
        "greedy_length_median": length,
        "sampled_accuracy": None,
        "sampled_long_share": 1.0,
    }
    rl = reward or "end_to_end"
    is_predicted = rl in LONG_REWARDS
    grows = is_predicted and p > 0 and modulus * kept_long(length, modulus, noise, rl) > 1 and noise < 1 - 1 / modulus
    next_share = None if not is_predicted else star_next_share(p, length, modulus, noise, rl) if p < 1 else 1.0
    return {
        "threshold": flip,
        "greedy": "long" if long else "short",
        "greedy_accuracy": 1.0 if long else 1 / modulus,
        "greedy_length_median": length if long else 1,
        "sampled_accuracy": sampled_accuracy(p, length, modulus, noise),
        "sampled_long_share": p,
        "go_on": go_on_probability(p, modulus, noise),
        "star_next_share": next_share,
        "star_rounds_to_flip": None,
        "rl": limit if grows else dict.fromkeys(limit),
    }


def _check(modulus: int, noise: float, p: float = 0.5) -> None:
    """Raise ValueError for the first argument that is not allowed."""
    check(p=p, modulus=modulus)
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is {noise}; allowed: 0 to 1")
