"""The average of the last iterates of SGD (Ruppert 1988; Polyak and Juditsky 1992), as the weights that count.

At a constant rate the weights wander around the minimizer; their average over the tail of a stage lies much nearer,
though not on it: where the loss is not quadratic, the mean of the iterates is off by a term of the rate's order
(Dieuleveut, Durmus and Bach 2020, arXiv 1707.06386). So a decaying rate with a short tail is the more exact.

The average is kept in the optimizer's state under `average`, so that checkpoints hold it, and it changes no update:
training goes on from the last weights, while evaluations, and whatever follows the stage, use the average.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from chainlift.learning.optimizer import Optimizer

KEY = "average"


def first_averaged(total: int, tail: float) -> int:
    """Number (from 1) of the first of `total` updates whose weights are averaged; total + 1 where tail is 0."""
    return total - round(tail * total) + 1


@torch.no_grad()
def accumulate(model: nn.Module, optimizer: Optimizer, count: int, window: int | None = None) -> None:
    """Take the weights into their average as number `count` (from 1); below 1 nothing is averaged yet.

    The mean of all of them, or of the last ones, with weights that fall by 1 - 1/window a step. Number 1 overwrites
    what an earlier stage has left.
    """
    if count < 1:
        return
    for parameter in model.parameters():
        state = optimizer.state[parameter]
        if count == 1:
            state[KEY] = parameter.detach().clone()
        else:
            state[KEY].lerp_(parameter, 1 / (min(count, window) if window else count))


@torch.no_grad()
def settle(model: nn.Module, optimizer: Optimizer, count: int) -> None:
    """Give the model the average of `count` iterates for good; nothing happens if count is below 1."""
    if count >= 1:
        for parameter in model.parameters():
            parameter.copy_(optimizer.state[parameter][KEY])


@torch.no_grad()
def swap(model: nn.Module, optimizer: Optimizer, count: int) -> None:
    """Exchange the weights and their average of `count` iterates; nothing happens if count is below 1.

    So a checkpoint inside a stage has the weights that were measured, and a stage that starts from it uses the average;
    the stage itself swaps again when it continues.
    """
    for parameter in model.parameters() if count >= 1 else ():
        own = parameter.detach().clone()
        parameter.copy_(optimizer.state[parameter][KEY])
        optimizer.state[parameter][KEY].copy_(own)


@contextmanager
def averaged(model: nn.Module, optimizer: Optimizer, count: int) -> Iterator[None]:
    """The model with the average of `count` iterates inside the block, and with its own weights after it."""
    if count < 1:
        yield
        return
    own = [parameter.detach().clone() for parameter in model.parameters()]
    settle(model, optimizer, count)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), own, strict=True):
                parameter.copy_(value)
