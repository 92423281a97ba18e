"""What a grader says of responses in words, as the verdict that rewards and tables read."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from chainlift.tasks.base import Verdict


def as_verdict(
    right: Sequence[bool], long: Sequence[bool], finished: Sequence[bool], lengths: Sequence[int]
) -> Verdict:
    """The verdict (N,) on responses in words, whose chains nobody reads: one with the right answer counts as right.

    right: finished, with the right answer; lengths: tokens before the end of sequence.
    """
    answer, length = torch.tensor(right, dtype=torch.bool), torch.tensor(lengths)
    zeros = torch.zeros_like(length)
    return Verdict(answer, answer, torch.tensor(finished), torch.tensor(long), length, zeros, zeros)
