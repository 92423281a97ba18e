"""Verifiable rewards: what a verdict is worth. They see the verdict, never the model.

Source: Tsilivis et al., arXiv 2510.11495 (end-to-end and chain-of-thought rewards).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from chainlift.settings import suggest
from chainlift.tasks.base import Verdict

REWARDS: dict[str, Callable[[Verdict], Tensor]] = {
    "end_to_end": lambda verdict: verdict.answer.float(),
    "chain": lambda verdict: verdict.chain.float(),
}
"""The table of rewards, each from a verdict to (N,) numbers from 0 (wrong) to 1 (right). end_to_end: 1 if the answer is
right, whatever stands before it; chain: 1 if the whole response is a gold one, long or short.
"""


def check(name: str) -> None:
    """Nothing; ValueError in one line if no reward has this name."""
    if name not in REWARDS:
        raise ValueError(f"{name!r} is no reward{suggest(name, REWARDS)}; known: {', '.join(REWARDS)}")


def score(verdict: Verdict, reward: str) -> Tensor:
    """Rewards (N,) of the table, before any shaping: what decides whether a response is right."""
    return REWARDS[reward](verdict)


def shaped(rewards: Tensor, verdict: Verdict, *, length_penalty: float, max_length: int) -> Tensor:
    """What advantages are made of: rewards (N,) less `length_penalty` * length / max_length."""
    return rewards - length_penalty * verdict.length / max_length if length_penalty else rewards
