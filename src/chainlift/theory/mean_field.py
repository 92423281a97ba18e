"""Reference curves: how long share and accuracy move, update by update, where nothing but the two mode logits learns.

Exact: the start (next-token prediction's minimizer), each algorithm's mean update (expected_update.py), STaR's round.
Approximations, each of which a measured run departs from:
1. *The noise of the samples is left out*: every update takes its mean, as with infinitely many prompts.
2. *The step is a stated convention.* AdamW moves shared weights, and no recipe's learning rate says by how much that
   moves a log-odds. The rule "normalized" moves (first, go_on) by a length of `step` in the mean gradient's direction,
   as Adam makes of a gradient without noise, whatever its scale. The rule "gradient" moves them by `step` times
   the mean update, plain gradient ascent on the two logits: it keeps the slow start of rare long responses, and each
   preset's own constant. Neither is fitted to a measurement. So the *path* (which long share goes with which accuracy,
   when greedy flips on it) and the order of events are the prediction; the horizontal scale is not.
3. *All prompts and all positions learn alike*, and the chain's steps neither improve nor decay (q is constant).
4. STaR's fit is taken to reach its minimum in every round. A round of few optimizer updates lags behind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chainlift.theory.expected_update import Algorithm, expected_update
from chainlift.theory.mode_policy import ModePolicy, Setting

Rule = Literal["normalized", "gradient"]
REFERENCE_STEP = 0.1
"""Log-odds per update under the rule "normalized" where nothing else is said: a convention, no measurement."""


@dataclass(frozen=True)
class MeanField:
    """A reference curve at updates (STaR: rounds) 0, 1, ..; measured as an evaluation at temperature 1 would."""

    policies: list[ModePolicy]
    long_share: list[float]
    accuracy: list[float]
    greedy_long: list[bool]
    greedy_accuracy: list[float]

    @property
    def flip(self) -> int | None:
        """The first update after which greedy responses are long; None if there is none on the curve."""
        return self.greedy_long.index(True) if True in self.greedy_long else None


def policy_gradient_curve(
    start: ModePolicy,
    setting: Setting,
    algorithm: Algorithm,
    steps: Sequence[float],
    *,
    rule: Rule = "normalized",
    group_size: int = 8,
    prompts: int = 32,
    steps_per_round: int = 1,
) -> MeanField:
    """The curve of an algorithm over len(steps) updates; update n has the step size steps[n].

    Within a round the samples are those of its first policy, so that ratios and clipping play their part. ValueError
    for an algorithm without an expected update, such as STaR (star_curve).
    """
    if rule not in ("normalized", "gradient"):
        raise ValueError(f"rule is {rule!r}; allowed: normalized, gradient")
    if steps_per_round < 1:
        raise ValueError(f"steps_per_round is {steps_per_round}; allowed: 1 and more")
    policies = [start]
    sampled_by = start
    for number, step in enumerate(steps):
        policy = policies[-1]
        if number % steps_per_round == 0:
            sampled_by = policy
        move = expected_update(
            policy, setting, algorithm, group_size=group_size, prompts=prompts, sampled_by=sampled_by
        )
        length = float(np.hypot(*move))
        scale = step if rule == "gradient" else step / length if length > 0 else 0.0
        policies.append(ModePolicy(policy.first + scale * move[0], policy.go_on + scale * move[1]))
    return _curve(policies, setting)


def star_round(policy: ModePolicy, setting: Setting) -> ModePolicy:
    """The policy after a round of STaR that fits what it kept exactly, at the temperature that it sampled at.

    Kept are responses of each class with the mean over prompts of their reward: W and S with 1/K each, L with r. The
    fit takes over the kept frequencies: the odds of going on, at temperature t, are multiplied by K r, those of x_1 by
    1 - g + g K r. In log-odds at temperature 1 that adds t log(..), which loses nothing however near a probability is
    to 0 or 1. At t = 1 its long share is star.star_next_share, so its iterates are p_n. ValueError where nothing is
    kept.
    """
    if not (policy.classes(setting) * setting.mean_rewards).sum() > 0:
        raise ValueError("STaR keeps nothing where all responses are long and no chain is right (p_cot 1, q 0)")
    growth = setting.modulus * float(setting.mean_rewards[2])
    _, g = policy.probabilities(setting)
    go_on = policy.go_on + setting.temperature * math.log(growth) if growth > 0 else -math.inf
    kept = 1 - g + g * growth
    first = policy.first + setting.temperature * math.log(kept) if kept > 0 else -math.inf
    return ModePolicy(policy.first if setting.marker else first, go_on)


def star_curve(start: ModePolicy, setting: Setting, rounds: int) -> MeanField:
    """The curve of STaR at rounds 0..`rounds`."""
    if rounds < 0:
        raise ValueError(f"rounds is {rounds}; allowed: 0 and more")
    policies = [start]
    for _ in range(rounds):
        policies.append(star_round(policies[-1], setting))
    return _curve(policies, setting)


def _curve(policies: list[ModePolicy], setting: Setting) -> MeanField:
    found = [policy.measures(setting) for policy in policies]
    return MeanField(policies, **{name: [one[name] for one in found] for name in found[0]})
