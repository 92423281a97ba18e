"""Advantages: rewards minus a baseline. Pure functions of rewards (P, G), P prompts with G samples each.

none          A = r                                                    REINFORCE, Williams 1992
batch_mean    A = r - mean of the batch                                REINFORCE with a baseline
leave_one_out A = r - mean of the group's other samples                RLOO, Ahmadian et al. 2024, arXiv 2402.14740
group_mean    A = r - mean of the group                                Dr. GRPO, Liu et al. 2025, arXiv 2503.20783
group_zscore  A = (r - mean of the group) / (std of the group + 1e-4)  GRPO, Shao et al. 2024, arXiv 2402.03300
accept        A = 1 where r > 1/2, else 0                              STaR, Zelikman et al. 2022, arXiv 2203.14465

The standard deviation divides by G - 1 and is guarded by 1e-4, as in TRL. A group of equal rewards has advantage 0
everywhere except under none, batch_mean and accept. `mixed` and `signal` define which groups are mixed, all right or
all wrong. They take rewards before shaping: a length penalty makes no wrong answer right.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.learning.presets import AdvantageKind

STD_GUARD = 1e-4
RIGHT_ABOVE = 0.5  # rewards are 0 to 1: a response is right if its reward is above this
GROUP_KINDS = ("leave_one_out", "group_mean", "group_zscore")


def estimate(rewards: Tensor, kind: AdvantageKind) -> Tensor:
    """Advantages (P, G) of rewards (P, G); ValueError where the kind needs a group and G is 1."""
    group_size = rewards.shape[1]
    if kind in GROUP_KINDS and group_size < 2:
        raise ValueError(f"advantage {kind} compares samples of one prompt: group_size must be at least 2")
    if kind == "none":
        return rewards
    if kind == "accept":
        return is_right(rewards).to(rewards.dtype)
    if kind == "batch_mean":
        return rewards - rewards.mean()
    # A group of equal rewards has exactly no signal; rounding in the mean must not invent one.
    equal = (rewards == rewards[:, :1]).all(dim=1, keepdim=True)
    centered = torch.where(equal, 0.0, rewards - rewards.mean(dim=1, keepdim=True))
    if kind == "group_mean":
        return centered
    if kind == "leave_one_out":
        return centered * group_size / (group_size - 1)
    return centered / (rewards.std(dim=1, keepdim=True) + STD_GUARD)


def is_right(rewards: Tensor) -> Tensor:
    """Whether each response is right, from rewards before shaping; bool of the same shape."""
    return rewards > RIGHT_ABOVE


def mixed(rewards: Tensor) -> Tensor:
    """Whether the rewards (P, G) of each group differ before shaping; bool (P,)."""
    return (rewards != rewards[:, :1]).any(dim=1)


def signal(rewards: Tensor) -> dict[str, float]:
    """Shares of groups {groups_all_right, groups_all_wrong, groups_mixed} from rewards (P, G) before shaping.

    They sum to 1; a group of equal rewards is all right or all wrong.
    """
    differ, right = mixed(rewards), is_right(rewards[:, 0])
    all_right, all_wrong = (right & ~differ).float().mean(), (~right & ~differ).float().mean()
    return {
        "groups_all_right": float(all_right),
        "groups_all_wrong": float(all_wrong),
        "groups_mixed": float(1 - all_right - all_wrong),
    }
