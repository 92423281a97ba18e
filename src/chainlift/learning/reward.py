"""Verifiable rewards: what a verdict is worth. They see the verdict, never the model.

Source: Tsilivis et al., arXiv 2510.11495 (end-to-end and chain-of-thought rewards).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from chainlift.tasks.base import Verdict

RewardName = Literal["end_to_end", "chain"]

REWARDS: dict[str, Callable[[Verdict], Tensor]] = {
    "end_to_end": lambda verdict: verdict.answer.float(),
    "chain": lambda verdict: verdict.chain.float(),
}
"""end_to_end: 1 if the answer is right, whatever stands before it; chain: 1 if the whole response is a gold one, long
or short.
"""


def score(verdict: Verdict, reward: RewardName, *, length_penalty: float = 0.0, max_length: int = 1) -> Tensor:
    """Rewards (N,): the named reward, less `length_penalty` * length / max_length."""
    value = REWARDS[reward](verdict)
    return value - length_penalty * verdict.length / max_length if length_penalty else value
