"""Lengths of prompts and sequences, whose padding models may mask."""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.tasks.base import Task, held_out


def longest_sequence(task: Task) -> int:
    """Number of positions of the task's longest sequence, in training or in measurements."""
    return max(task.prompt_length, held_out(task).prompt_length) + task.long_length + 1


def prompt_lengths(task: Task, prompts: Tensor) -> Tensor:
    """Lengths (N,) of prompts (N, T) without the padding on their left, a token id of tasks that have one."""
    padding = getattr(task, "padding", None)
    if padding is None:
        return torch.full((len(prompts),), prompts.shape[1], device=prompts.device)
    return ((prompts != padding).cumsum(dim=1) > 0).sum(dim=1)


def masks_padding(task: Task) -> bool:
    """Whether models mask the token `padding` left of a prompt; otherwise they read it like any other token."""
    return getattr(task, "masks_padding", False)
