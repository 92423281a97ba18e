"""Finite training data: next-token prediction reads every training prompt once an epoch, always in the same form.

The order of an epoch is a permutation of its own. Each prompt has one number, uniform between 0 and 1, and is long
where p_cot exceeds it. So epochs repeat the same demonstrations, as with a file of them, and a larger p_cot only turns
short demonstrations into long ones.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from chainlift.seeding import stream


@runtime_checkable
class Finite(Protocol):
    """A task with a finite set of training prompts, each of which next-token prediction reads once an epoch."""

    @property
    def num_train(self) -> int:
        """Number of training prompts."""
        ...

    @property
    def num_problems(self) -> int:
        """Number of different prompts that `prompts` draws, training prompts or held-out ones."""
        ...

    def train_prompts(self, indices: Tensor) -> Tensor:
        """The training prompts (N, prompt_length) with the numbers `indices` (N,)."""
        ...

    def train_gold(self, indices: Tensor, *, long: bool) -> Tensor:
        """Their gold responses (N, R), each one's own where prompts are equal."""
        ...

    def mean_tokens(self, p_cot: float) -> float:
        """Mean prompt and response tokens of a demonstration that is long with probability p_cot."""
        ...


def batch(num_train: int, n: int, *, seed: int, name: str, step: int) -> Tensor:
    """The numbers (n,) of the training prompts in batch number `step`; the stream of an epoch is `name`/order."""
    start = step * n
    epochs = range(start // num_train, (start + n - 1) // num_train + 1)
    in_order = torch.cat([order(num_train, seed=seed, name=name, epoch=epoch) for epoch in epochs])
    return in_order[start - epochs.start * num_train :][:n]


def order(num_train: int, *, seed: int, name: str, epoch: int) -> Tensor:
    """The order (num_train,) of an epoch; every stage has its own, so that a later one does not repeat it."""
    return torch.randperm(num_train, generator=stream(seed, f"{name}/order", epoch))


def forms(num_train: int, *, seed: int, epoch: int | None = None) -> Tensor:
    """A number (num_train,) for each training prompt, which is long iff p_cot is larger.

    It comes from the stream mixture/forms, the same in all stages; epoch: for forms that are drawn anew each epoch.
    """
    indices = () if epoch is None else (epoch,)
    draws = stream(seed, "mixture/forms" if epoch is None else "mixture/forms/redrawn", *indices)
    return torch.rand(num_train, generator=draws, dtype=torch.float64)
