"""Conversion of grades of responses in words into the verdict that rewards and tables read."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from chainlift.tasks.base import Verdict


def as_verdict(
    right: Sequence[bool], long: Sequence[bool], finished: Sequence[bool], lengths: Sequence[int]
) -> Verdict:
    """The verdict (N,) on responses in words; a chain counts as right if its answer is, because no grader reads it.

    right: the response is finished and has the right answer; lengths: tokens before the end of sequence.
    """
    answer, length = torch.tensor(right, dtype=torch.bool), torch.tensor(lengths)
    zeros = torch.zeros_like(length)
    return Verdict(answer, answer, torch.tensor(finished), torch.tensor(long), length, zeros, zeros)
