"""What a round of samples tells RL, under the names that small runs use."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from chainlift.learning import advantage
from chainlift.llm.measuring import Judged


def round_signal(
    right: Sequence[bool], long: Sequence[bool], finished: Sequence[bool], lengths: Sequence[int], group_size: int
) -> dict[str, float]:
    """Means over samples, and shares of groups that are all right, all wrong, or mixed and so comparable.

    right: the answer is right and the response finished; lengths: tokens; samples of a problem stand together.
    """
    n = len(right)
    return {
        "long_share": sum(long) / n,
        "length_mean": sum(lengths) / n,
        "unfinished_share": 1 - sum(finished) / n,
        **advantage.signal(torch.tensor(right).view(-1, group_size)),
    }


def signal_of(judged: Sequence[Judged], group_size: int) -> dict[str, float]:
    """The same of judged samples."""
    return round_signal(
        [one.is_right for one in judged],
        [one.is_long for one in judged],
        [one.is_finished for one in judged],
        [one.response.length for one in judged],
        group_size,
    )
