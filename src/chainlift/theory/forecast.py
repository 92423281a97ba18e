"""Table of all predictions for a setting, shown before a run starts and beside its measurements."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from chainlift.theory.closed_forms import (
    LONG_REWARDS,
    go_on_probability,
    greedy,
    greedy_accuracy,
    greedy_length_median,
    long_reward,
    mixture_entropy,
    sampled_accuracy,
    sampled_long_share,
    threshold,
)
from chainlift.theory.expected_update import Algorithm, expected_update, has_expected_update
from chainlift.theory.groups import pass_at_k, preflight_forecast
from chainlift.theory.mean_field import REFERENCE_STEP, policy_gradient_curve, star_curve
from chainlift.theory.mode_policy import ModePolicy, Setting
from chainlift.theory.star import star_next_share, star_rounds_to_flip

STAR_ROUNDS = 10  # listed one by one
STAR_LIMIT = 500  # searched for a share of 99 %
MAX_UPDATES = 10_000
SAMPLES = (1, 4, 16, 64)  # the k of pass@k


def predictions(
    d: int,
    modulus: int,
    p_cot: float,
    temperature: float = 1.0,
    *,
    marker: bool = False,
    q: float = 1.0,
    reward: str = "end_to_end",
) -> dict[str, Any]:
    """Predictions for a perfect learner of the mixture, for STaR that starts from it, and for the limit of RL (`rl`).

    Greedy values are those of the temperature-1 model. `temperature` is that of the samples, of STaR's samples and of
    STaR's fit, as in chainlift's loop. Accuracies count right answers; `reward` decides what STaR keeps. The limit of
    RL is long responses only, which earn the most if r = long_reward > 1/K. Otherwise, or if p_cot = 0 and no long
    response is ever sampled, RL does not lead there, and all values of the limit are None. Values that depend on a
    reward without predictions are None as well.
    """
    long_accuracy = long_reward(modulus, q=q)
    limit = {
        "greedy_accuracy": long_accuracy,
        "greedy_length_median": d + marker,
        "sampled_accuracy": long_accuracy,
        "sampled_long_share": 1.0,
    }
    long = sampled_long_share(p_cot, modulus, temperature, marker=marker)
    of_reward: dict[str, Any] = {
        "star_next_share": None,
        "star_rounds_to_flip": None,
        "rl": dict.fromkeys(limit),
    }
    if reward in LONG_REWARDS:
        earned = long_reward(modulus, q=q, reward=reward)
        options: dict[str, Any] = {"marker": marker, "q": q, "reward": reward}
        of_reward = {
            "star_next_share": star_next_share(long, modulus, q=q, reward=reward) if long < 1 or earned > 0 else None,
            "star_rounds_to_flip": star_rounds_to_flip(
                p_cot, modulus, temperature=temperature, fit_temperature=temperature, **options
            ),
            "rl": limit if p_cot > 0 and modulus * earned > 1 else dict.fromkeys(limit),
        }
    return {
        "threshold": threshold(modulus, marker=marker),
        "greedy": greedy(p_cot, modulus, marker=marker),
        "greedy_accuracy": greedy_accuracy(p_cot, modulus, marker=marker, q=q),
        "greedy_length_median": greedy_length_median(d, modulus, p_cot, marker=marker),
        "sampled_accuracy": sampled_accuracy(p_cot, modulus, temperature, marker=marker, q=q),
        "sampled_long_share": long,
        "go_on": p_cot if marker else go_on_probability(p_cot, modulus),
        **of_reward,
    }


def forecast(
    setting: Setting,
    p_cot: float,
    *,
    algorithm: Algorithm | None = None,
    name: str = "custom",
    group_size: int = 8,
    prompts: int = 32,
    updates: int = 60,
    step: float = REFERENCE_STEP,
) -> dict[str, Any]:
    """All predictions for a setting, as plain numbers for JSON.

    They are those of `predictions` and {setting, loss_per_token, pass_at_k, preflight, star_rounds_to_99,
    star_long_shares, reference}. `star_long_shares` are the long shares of samples at temperature 1 after rounds 0..10
    (mean_field.star_curve), empty if STaR keeps nothing. `star_rounds_to_99` is the first round, up to 500, after which
    99 % of samples are long, or None. `reference` is the mean-field curve of `algorithm`, called `name`, with its first
    mean update as `drift`. It is None for STaR, whose curve is `star_long_shares`, for an algorithm without an expected
    update, and without an algorithm. ValueError in one line for arguments that are not allowed.
    """
    if not 1 <= updates <= MAX_UPDATES:
        raise ValueError(f"updates is {updates}; allowed: 1 to {MAX_UPDATES}")
    if not 0 < step < math.inf:
        raise ValueError(f"step is {step}; allowed: above 0 and finite")
    sampling: dict[str, Any] = {"marker": setting.marker, "q": setting.q, "reward": setting.reward}
    table = predictions(setting.d, setting.modulus, p_cot, setting.temperature, **sampling)
    sampling["temperature"] = setting.temperature
    start = ModePolicy.after_pretraining(p_cot, setting)
    shares = star_curve(start, setting, STAR_LIMIT).long_share if table["star_next_share"] is not None else []
    return {
        "setting": {**asdict(setting), "p_cot": p_cot, "group_size": group_size},
        **table,
        "loss_per_token": mixture_entropy(setting.d, setting.modulus, p_cot, marker=setting.marker).token,
        "pass_at_k": {k: pass_at_k(p_cot, k, setting.modulus, **sampling) for k in SAMPLES},
        "preflight": preflight_forecast(p_cot, setting.modulus, group_size, **sampling),
        "star_rounds_to_99": next((n for n, share in enumerate(shares) if share >= 0.99), None),
        "star_long_shares": shares[: STAR_ROUNDS + 1],
        "reference": _reference(
            start, setting, algorithm, name, group_size=group_size, prompts=prompts, steps=[step] * updates
        )
        if algorithm is not None and has_expected_update(algorithm)
        else None,
    }


def _reference(
    start: ModePolicy,
    setting: Setting,
    algorithm: Algorithm,
    name: str,
    *,
    group_size: int,
    prompts: int,
    steps: list[float],
) -> dict[str, Any]:
    """The mean-field curve of a policy gradient, as plain numbers."""
    curve = policy_gradient_curve(start, setting, algorithm, steps, group_size=group_size, prompts=prompts)
    drift = expected_update(start, setting, algorithm, group_size=group_size, prompts=prompts)
    return {
        "algorithm": name,
        "step": steps[0],
        "updates_to_flip": curve.flip,
        "drift": [float(number) for number in drift],
        "long_share": curve.long_share,
        "accuracy": curve.accuracy,
        "greedy_accuracy": curve.greedy_accuracy,
    }
