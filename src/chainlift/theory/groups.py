"""Several samples of one prompt: pass@k, groups without signal, and what a preflight should find.

Samples of one prompt are independent given the prompt, but prompts differ: in the K-th part of them the sum equals x_1,
so that the favored short answer x_1 is right there and wrong elsewhere. Every formula is therefore a mean over these
two kinds of prompts. At temperature 1, and with a marker, both kinds are alike.
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
    """(share of prompts, probability that a response earns nothing) where the sum equals x_1, and elsewhere.

    A wrong response is one of the short answers that differ from the sum, or a long one without its reward
    (long_reward, the same for both kinds). Sum = x_1: the K - 1 answers that differ from x_1. Else: x_1 itself, and
    K - 2 of the others.
    """
    shares = response_shares(p, modulus, temperature=temperature, marker=marker)
    failed = shares.long * (1 - long_reward(modulus, q=q, reward=reward))
    same = (modulus - 1) * shares.differ + failed
    other = shares.agree + (modulus - 2) * shares.differ + failed
    return (1 / modulus, same), (1 - 1 / modulus, other)


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
    _positive("k", k)
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
    """Probability that G responses to one prompt all earn the same: no advantage within the group, no gradient.

    a^G + (1 - a)^G with a the prompt's accuracy, averaged over the two kinds of prompts. At temperature 1 there is one
    kind, with a = p r + (1 - p) / K and r = long_reward; with right chains both rewards agree. ValueError for G < 1.
    """
    _positive("group_size", group_size)
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
    """{accuracy, reward_mean, long_share, groups_without_signal}: what a run's preflight row is expected to hold.

    `accuracy` is that of the answers, whatever the reward; `reward_mean` is 1 - mean over prompts of wrong. The last is
    dead_group_probability. The run's own `groups_without_signal_expected` puts its mean reward into a^G + (1 - a)^G
    instead: the same at temperature 1, too small elsewhere, as the kinds of prompts differ there.
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


def _positive(name: str, count: int) -> None:
    if not count >= 1:
        raise ValueError(f"{name} is {count}; allowed: 1 and more")
