"""Predictions for several samples of one prompt: pass@k, groups without signal, and the preflight.

Samples are independent given the prompt, but prompts differ. In a share 1/K of them the sum equals x_1, so that the
favored short answer x_1 is right there and wrong elsewhere. Every formula is therefore a mean over these two kinds of
prompts. At temperature 1, and with a marker, the two kinds have equal probabilities.
"""

from __future__ import annotations

from chainlift.theory.closed_forms import long_reward, response_shares


def prompt_kinds(
    p: float,
    modulus: int,
    *,
    temperature: float = 1.0,
    marker: bool = False,
    q: float = 1.0,
    reward: str = "end_to_end",
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Pairs (share of prompts, probability that a response earns nothing) for sum = x_1, and for other sums.

    A wrong response is a short answer that differs from the sum, or a long response without reward (long_reward, the
    same for both kinds). For sum = x_1 the wrong short answers are the K - 1 others; otherwise x_1 and K - 2 others.
    """
    shares = response_shares(p, modulus, temperature=temperature, marker=marker)
    unrewarded = shares.long * (1 - long_reward(modulus, q=q, reward=reward))
    wrong_if_equal = (modulus - 1) * shares.differ + unrewarded
    wrong_otherwise = shares.agree + (modulus - 2) * shares.differ + unrewarded
    return (1 / modulus, wrong_if_equal), (1 - 1 / modulus, wrong_otherwise)


def pass_at_k(
    p: float,
    k: int,
    modulus: int,
    *,
    temperature: float = 1.0,
    marker: bool = False,
    q: float = 1.0,
    reward: str = "end_to_end",
) -> float:
    """Probability that one of k sampled responses to the same prompt is right: 1 - mean over prompts of wrong^k.

    At temperature 1 with right chains both kinds of prompts have wrong = (K - 1)(1 - p) / K; K = 2:
    pass@k = 1 - ((1 - p) / 2)^k. ValueError for k < 1.
    """
    _check_positive("k", k)
    kinds = prompt_kinds(p, modulus, temperature=temperature, marker=marker, q=q, reward=reward)
    return 1 - sum(share * wrong**k for share, wrong in kinds)


def dead_group_probability(
    p: float,
    group_size: int,
    modulus: int,
    *,
    temperature: float = 1.0,
    marker: bool = False,
    q: float = 1.0,
    reward: str = "end_to_end",
) -> float:
    """Probability that G responses to one prompt earn equal rewards: no advantage within the group, no gradient.

    It is the mean of a^G + (1 - a)^G over the two kinds of prompts, with the prompt's accuracy a. At temperature 1 both
    kinds have a = p r + (1 - p) / K with r = long_reward; with right chains the two rewards agree. ValueError for
    G < 1.
    """
    _check_positive("group_size", group_size)
    kinds = prompt_kinds(p, modulus, temperature=temperature, marker=marker, q=q, reward=reward)
    return sum(share * (wrong**group_size + (1 - wrong) ** group_size) for share, wrong in kinds)


def preflight_forecast(
    p: float,
    modulus: int,
    group_size: int,
    *,
    temperature: float = 1.0,
    marker: bool = False,
    q: float = 1.0,
    reward: str = "end_to_end",
) -> dict[str, float]:
    """{accuracy, reward_mean, long_share, groups_without_signal}: expected values of a run's preflight row.

    `accuracy` counts right answers, whatever the reward. `reward_mean` is 1 - mean over prompts of wrong.
    `groups_without_signal` is dead_group_probability. The preflight row's `groups_without_signal_expected` puts the
    run's mean reward into a^G + (1 - a)^G instead. That is equal at temperature 1 and too small elsewhere, because the
    kinds of prompts differ there.
    """
    shares = response_shares(p, modulus, temperature=temperature, marker=marker)
    kinds = prompt_kinds(p, modulus, temperature=temperature, marker=marker, q=q, reward=reward)
    return {
        "accuracy": shares.long * long_reward(modulus, q=q) + (1 - shares.long) / modulus,
        "reward_mean": 1 - sum(share * wrong for share, wrong in kinds),
        "long_share": shares.long,
        "groups_without_signal": dead_group_probability(
            p, group_size, modulus, temperature=temperature, marker=marker, q=q, reward=reward
        ),
    }


def _check_positive(name: str, count: int) -> None:
    """Raise ValueError for a count below 1."""
    if not count >= 1:
        raise ValueError(f"{name} is {count}; allowed: 1 and more")
