"""The exact mean of one policy-gradient update of the two mode logits, for groups of G samples, by enumeration.

The gradient of the objective (learning/objective.py) with respect to the log-odds (first, go_on) is a sum over samples

    w_n A(reward of the sample, rewards of the group) * (ratios and scores of its mode tokens)

For each class of responses (mode_policy.py) and each reward of the sample, its mean depends only on how many of the
other G - 1 samples of the prompt are rewarded. This is a binomial count, enumerated from 0 to G - 1 for both kinds of
prompts. The result is exact for every preset: advantage, ratios and clipping against the policy that sampled, and
length weights. Two remarks:
- batch_mean: the mean of N = P G rewards includes the sample's reward, so the mean update is that of a perfect baseline
  times 1 - 1/N.
- token_mean divides by the batch's number of tokens, which is random; here by its expectation. That is the limit of
  many prompts P, off by O(1/P).
Presets differ in a constant factor (GRPO divides a chain's score by d + 1, RLOO does not), so gradients of two
algorithms compare only up to a factor of the learning rate.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from chainlift.theory.mode_policy import Array, ModePolicy, Setting

STD_GUARD = 1e-4
MAX_GROUP = 100_000


class Algorithm(Protocol):
    """The parts of an algorithm that determine the mean update: a row of the table in learning/presets.py."""

    @property
    def advantage(self) -> str:
        """The kind of advantage: what rewards are compared with."""
        ...

    @property
    def ratio(self) -> str:
        """The kind of ratio between the policy and the one that sampled."""
        ...

    @property
    def clip(self) -> str:
        """The kind of clipping of ratios."""
        ...

    @property
    def clip_low(self) -> float:
        """Lower clip distance."""
        ...

    @property
    def clip_high(self) -> float:
        """Upper clip distance; for "truncate" the bound itself."""
        ...

    @property
    def aggregate(self) -> str:
        """The kind of weighting of tokens and sequences."""
        ...

    @property
    def decision_weight(self) -> float | None:
        """The weight of a response's first two tokens; None: that of its other tokens."""
        ...


KINDS = {
    "advantage": ("none", "batch_mean", "leave_one_out", "group_mean", "group_zscore"),
    "ratio": ("none", "token", "sequence", "sequence_mean"),
    "clip": ("none", "ppo", "truncate"),
    "aggregate": ("sequence_sum", "sequence_mean", "token_mean", "max_length"),
}
"""{part of an algorithm: its kinds that have formulas}."""


def has_expected_update(algorithm: Algorithm) -> bool:
    """Whether the mean update is derived here.

    It is not for STaR, which fits its samples (mean_field.star_round), and not for kinds of your own.
    """
    is_known = all(getattr(algorithm, part) in kinds for part, kinds in KINDS.items())
    return is_known and not (algorithm.advantage == "batch_mean" and algorithm.ratio != "none")


def expected_update(
    policy: ModePolicy,
    setting: Setting,
    algorithm: Algorithm,
    *,
    group_size: int = 8,
    prompts: int = 32,
    sampled_by: ModePolicy | None = None,
) -> Array:
    """Mean ascent direction (2,) of (first, go_on): minus the gradient of the mean loss.

    sampled_by: the policy that drew the samples, if `policy` has moved since (later updates of a round). ValueError for
    an algorithm without a mean update (has_expected_update), and for groups too small for the advantage.
    """
    _check(algorithm, group_size, prompts)
    old = sampled_by or policy
    advantages = _advantages(old.classes(setting), setting, algorithm, group_size, prompts)
    with np.errstate(invalid="ignore", over="ignore"):
        log_ratio = policy.log_probs(setting) - old.log_probs(setting)
    log_ratio = np.where(np.isfinite(log_ratio), log_ratio, 0.0)  # of tokens that are never sampled
    raised, lowered = (_slopes(log_ratio, sign, setting, algorithm) for sign in (1, -1))
    pull = advantages[0][:, None] * raised + advantages[1][:, None] * lowered
    weights = _weights(old.classes(setting), setting, algorithm)
    return (weights[:, None] * pull * policy.scores(setting)).sum(axis=0)


def _advantages(
    classes: Array, setting: Setting, algorithm: Algorithm, group_size: int, prompts: int
) -> tuple[Array, Array]:
    """P(class) E[A | class] (3,), split into the parts of positive and of negative advantages."""
    positive, negative = np.zeros(3), np.zeros(3)
    if algorithm.advantage == "batch_mean":
        rewards = setting.mean_rewards
        mean = (1 - 1 / (prompts * group_size)) * classes * (rewards - (classes * rewards).sum())
        return mean, negative  # no preset cuts ratios here, so that the sign does not matter
    others = np.arange(float(group_size))
    for share, reward in setting.kinds:
        chances = _binomial(group_size - 1, float((classes * reward).sum()))
        for sample_reward, probability in ((1, reward), (0, 1 - reward)):
            advantage = _advantage(sample_reward, others + sample_reward, algorithm, group_size)
            positive += share * classes * probability * (chances * np.maximum(advantage, 0)).sum()
            negative += share * classes * probability * (chances * np.minimum(advantage, 0)).sum()
    return positive, negative


def _advantage(reward: int, num_right: Array, algorithm: Algorithm, group_size: int) -> Array:
    """Advantages of a sample with reward 0 or 1, in groups with `num_right` rewards of 1, the sample's included."""
    if algorithm.advantage == "none":
        return np.full(len(num_right), float(reward))
    centered = reward - num_right / group_size
    if algorithm.advantage == "leave_one_out":
        return centered * group_size / (group_size - 1)
    if algorithm.advantage == "group_zscore":
        variance = num_right * (group_size - num_right) / (group_size * (group_size - 1))
        return centered / (np.sqrt(variance) + STD_GUARD)
    return centered


def _slopes(log_ratio: Array, sign: int, setting: Setting, algorithm: Algorithm) -> Array:
    """d term / d log-probability (3, 2) of each class's two mode tokens, per unit of an advantage of that sign."""
    if algorithm.ratio == "none":
        return np.ones((3, 2))
    length = setting.num_actions[:, None]
    factor = np.ones((3, 1))
    if algorithm.ratio != "token":
        log_ratio = np.repeat(log_ratio.sum(axis=1, keepdims=True), 2, axis=1)
        # n equal terms, whose ratio is the product (n times the slope) or its n-th root (n times 1/n of the slope).
        factor = length if algorithm.ratio == "sequence" else factor
        log_ratio = log_ratio / (length if algorithm.ratio == "sequence_mean" else 1)
    ratio = np.exp(log_ratio)
    if algorithm.clip == "truncate":
        return np.minimum(ratio, algorithm.clip_high)
    if algorithm.clip == "ppo":
        inside = ratio <= 1 + algorithm.clip_high if sign > 0 else ratio >= 1 - algorithm.clip_low
        return factor * ratio * inside
    return factor * ratio


def _weights(classes: Array, setting: Setting, algorithm: Algorithm) -> Array:
    """N times the weight (3,) of the mode tokens of a response of each class."""
    length = setting.num_actions
    if algorithm.decision_weight is not None:
        return np.full(3, algorithm.decision_weight)
    if algorithm.aggregate == "sequence_mean":
        return 1 / length
    if algorithm.aggregate == "token_mean":
        return np.full(3, 1 / (classes * length).sum())
    return np.ones(3) / (length[2] if algorithm.aggregate == "max_length" else 1)


def _binomial(n: int, p: float) -> Array:
    """Probabilities (n + 1,) of 0..n successes."""
    if p <= 0 or p >= 1:
        return np.eye(n + 1)[n if p >= 1 else 0]
    log_choose = [math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1) for m in range(n + 1)]
    m = np.arange(n + 1)
    return np.exp(np.array(log_choose) + m * math.log(p) + (n - m) * math.log1p(-p))


def _check(algorithm: Algorithm, group_size: int, prompts: int) -> None:
    """Raise ValueError for an algorithm without a mean update, or for sizes that are not allowed."""
    if not has_expected_update(algorithm):
        parts = ", ".join(f"{part} {getattr(algorithm, part)}" for part in KINDS)
        raise ValueError(f"no prediction of an update for {parts} (STaR fits what it keeps: mean_field.star_round)")
    least = 1 if algorithm.advantage in ("none", "batch_mean") else 2
    if not least <= group_size <= MAX_GROUP:
        raise ValueError(f"group_size is {group_size}; allowed: {least} to {MAX_GROUP}")
    if not prompts >= 1:
        raise ValueError(f"prompts is {prompts}; allowed: 1 and more")
