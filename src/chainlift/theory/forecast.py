"""Everything that is predicted for one setting, as one table: before a run starts, and beside what it measured."""

from __future__ import annotations

from typing import Any

from chainlift.theory.closed_forms import (
    Reward,
    greedy,
    greedy_accuracy,
    greedy_length_median,
    long_reward,
    sampled_accuracy,
    sampled_long_share,
    threshold,
)
from chainlift.theory.star import star_next_share, star_rounds_to_flip


def predictions(
    d: int,
    modulus: int,
    p_cot: float,
    temperature: float = 1.0,
    *,
    marker: bool = False,
    q: float = 1.0,
    reward: Reward = "end_to_end",
) -> dict[str, Any]:
    """What a perfect learner of the mixture does, STaR from there, and the limit of RL (`posttrain`).

    Greedy figures are of the temperature-1 model; `temperature` is that of the samples, STaR's included, and of STaR's
    fit, as in chainlift's own loop. Accuracies are those of the answers; `reward` says what STaR keeps. The limit is
    long responses only, which earn the most where r = long_reward > 1/K; elsewhere, or where p_cot = 0 and no long one
    is ever sampled, RL does not lead there, and all of it is None.
    """
    last = long_reward(modulus, q=q)
    limit = {
        "greedy_accuracy": last,
        "greedy_length_median": d + marker,
        "sampled_accuracy": last,
        "sampled_long_share": 1.0,
    }
    lifts = p_cot > 0 and modulus * long_reward(modulus, q=q, reward=reward) > 1
    long = sampled_long_share(p_cot, modulus, temperature, marker=marker)
    kept = long < 1 or long_reward(modulus, q=q, reward=reward) > 0
    return {
        "threshold": threshold(modulus, marker=marker),
        "greedy": greedy(p_cot, modulus, marker=marker),
        "greedy_accuracy": greedy_accuracy(p_cot, modulus, marker=marker, q=q),
        "greedy_length_median": greedy_length_median(d, modulus, p_cot, marker=marker),
        "sampled_accuracy": sampled_accuracy(p_cot, modulus, temperature, marker=marker, q=q),
        "sampled_long_share": long,
        "star_next_share": star_next_share(long, modulus, q=q, reward=reward) if kept else None,
        "star_rounds_to_flip": star_rounds_to_flip(
            p_cot, modulus, temperature=temperature, fit_temperature=temperature, marker=marker, q=q, reward=reward
        ),
        "posttrain": limit if lifts else dict.fromkeys(limit),
    }
