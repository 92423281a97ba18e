"""Reference curves: long share and accuracy, update by update, if only the two mode logits learn.

Exact: the start (the minimizer of next-token prediction), each algorithm's mean update (expected_update.py), and STaR's
round. Approximations, from which measured runs depart:
1. *No sampling noise*: every update is its mean, as with infinitely many prompts.
2. *The step is a stated convention.* AdamW moves shared weights, and the learning rate of a recipe does not determine
   how far a log-odds moves. The rule "normalized" moves (first, go_on) by a length of `step` in the direction of the
   mean gradient, as Adam does with a gradient without noise, whatever its scale. The rule "gradient" moves them by
   `step` times the mean update, plain gradient ascent on the two logits. It keeps the slow start of rare long responses
   and each preset's constant factor. Neither rule is fitted to a measurement. So the *path* (which long share goes with
   which accuracy, where greedy flips on it) and the order of events are the prediction; the horizontal scale is not.
3. *All prompts and all positions learn alike*, and the steps of chains neither improve nor decay (q is constant).
4. STaR's fit reaches its minimum in every round. A round of few optimizer updates lags behind.
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
"""Default step of the rule "normalized", in log-odds per update: a convention, not a measurement."""


@dataclass(frozen=True)
class MeanField:
    """A reference curve at updates (STaR: rounds) 0, 1, ..; its values are those of evaluations at temperature 1."""

    policies: list[ModePolicy]
    long_share: list[float]
    accuracy: list[float]
    greedy_long: list[bool]
    greedy_accuracy: list[float]

    @property
    def flip(self) -> int | None:
        """The first update after which greedy responses are long; None if they never are."""
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
    """The reference curve of an algorithm over len(steps) updates; update n has the step size steps[n].

    Within a round the samples come from its first policy, so that ratios and clipping take effect. ValueError for an
    algorithm without an expected update, such as STaR (star_curve).
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
    """The policy after a round of STaR that fits the kept responses exactly, at the temperature of sampling.

    Responses of each class are kept with the probability of their mean reward over prompts: W and S with 1/K each, L
    with r. The fit reproduces the frequencies of kept responses. It multiplies the odds of going on, at temperature t,
    by K r, and those of x_1 by 1 - g + g K r. In log-odds at temperature 1 this adds t log(..), which is accurate for
    probabilities near 0 and 1. At t = 1 the long share is star.star_next_share, so the iterates are p_n. ValueError if
    nothing is kept.
    """
    if not (policy.classes(setting) * setting.mean_rewards).sum() > 0:
        raise ValueError("STaR keeps nothing where all responses are long and no chain is right (p_cot 1, q 0)")
    growth = setting.modulus * float(setting.mean_rewards[2])
    _, g = policy.probabilities(setting)
    go_on = policy.go_on + setting.temperature * math.log(growth) if growth > 0 else -math.inf
    first_growth = 1 - g + g * growth
    first = policy.first + setting.temperature * math.log(first_growth) if first_growth > 0 else -math.inf
    return ModePolicy(policy.first if setting.marker else first, go_on)


def star_curve(start: ModePolicy, setting: Setting, rounds: int) -> MeanField:
    """The reference curve of STaR at rounds 0..`rounds`."""
    if rounds < 0:
        raise ValueError(f"rounds is {rounds}; allowed: 0 and more")
    policies = [start]
    for _ in range(rounds):
        policies.append(star_round(policies[-1], setting))
    return _curve(policies, setting)


def _curve(policies: list[ModePolicy], setting: Setting) -> MeanField:
    """The curve through policies."""
    measured = [policy.measures(setting) for policy in policies]
    return MeanField(policies, **{name: [measures[name] for measures in measured] for name in measured[0]})
