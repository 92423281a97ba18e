"""What a round of samples tells RL, under the names that small runs use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def round_signal(
    right: Sequence[bool], long: Sequence[bool], finished: Sequence[bool], lengths: Sequence[int], group_size: int
) -> dict[str, float]:
    """Means over samples, and shares of groups that are all right, all wrong, or mixed and so comparable.

    right: the answer is right and the response finished; lengths: tokens; samples of a problem stand together.
    """
    groups = np.asarray(right, dtype=float).reshape(-1, group_size).mean(axis=1)
    all_right, all_wrong = float((groups == 1).mean()), float((groups == 0).mean())
    return {
        "long_share": float(np.mean(long)),
        "length_mean": float(np.mean(lengths)),
        "unfinished_share": 1 - float(np.mean(finished)),
        "groups_all_right": all_right,
        "groups_all_wrong": all_wrong,
        "groups_mixed": 1 - all_right - all_wrong,
    }
