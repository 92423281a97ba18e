"""Conversion of grades of responses in words into the verdict that rewards and tables read."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from chainlift.tasks.base import Verdict


def as_verdict(
    right: Sequence[bool],
    long: Sequence[bool],
    finished: Sequence[bool],
    lengths: Sequence[int],
    device: torch.device | None = None,
) -> Verdict:
    """The verdict (N,) on responses in words; a chain counts as right if its answer is, because no grader reads it.

    right: the response is finished and has the right answer; lengths: tokens before the end of sequence.
    """
    answer, is_long, has_end = (torch.tensor(x, dtype=torch.bool, device=device) for x in (right, long, finished))
    length = torch.tensor(lengths, dtype=torch.long, device=device)
    zeros = torch.zeros_like(length)
    return Verdict(answer, answer, has_end, is_long, length, zeros, zeros)
