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


def forecast(
    setting: Setting,
    p_cot: float,
    *,
    algorithm: str = "grpo",
    group_size: int = 8,
    prompts: int = 32,
    updates: int = 60,
    step: float = REFERENCE_STEP,
) -> dict[str, Any]:
    """predictions, and beside them {setting, go_on_probability, loss_per_token, pass_at_k, preflight, star_...,
    reference}, all plain numbers that JSON can hold.

    `star_long_shares` are those of samples at temperature 1 after rounds 0..10 of mean_field.star_curve; None entries
    never occur, as the list ends where a round keeps nothing. `reference` is the mean-field curve of `algorithm` with
    its first mean update, `drift`; None for star, whose curve is the list before. ValueError in one line for what is not
    allowed.
    """
    options = {"marker": setting.marker, "q": setting.q, "reward": setting.reward}
    sampling = {"temperature": setting.temperature, **options}
    start = ModePolicy.after_pretraining(p_cot, setting)
    told = predictions(setting.d, setting.modulus, p_cot, setting.temperature, **options)
    stars = star_curve(start, setting, STAR_ROUNDS if told["star_next_share"] is not None else 0)
    shares = stars.long_share
    reached = next((n for n, share in enumerate(star_curve(start, setting, 0).long_share) if share >= 0.99), None)
    return {
        "setting": {**asdict(setting), "p_cot": p_cot, "group_size": group_size},
        **told,
        "loss_per_token": mixture_entropy(setting.d, setting.modulus, p_cot, marker=setting.marker).token,
        "pass_at_k": {k: pass_at_k(p_cot, k, setting.modulus, **sampling) for k in (1, 4, 16, 64)},
        "preflight": preflight_forecast(p_cot, setting.modulus, group_size, **sampling),
        "star_rounds_to_99": reached,
        "star_long_shares": shares,
        "reference": _reference(start, setting, algorithm, group_size, prompts, updates, step),
    }
