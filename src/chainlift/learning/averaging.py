"""Iterate averaging of SGD (Ruppert 1988; Polyak and Juditsky 1992): the average replaces the last weights.

At a constant rate the weights wander around the minimizer; their average over the tail of a stage lies much nearer,
though not on it: where the loss is not quadratic, the mean of the iterates is off by a term of the rate's order
(Dieuleveut, Durmus and Bach 2020, arXiv 1707.06386). So a decaying rate with a short tail is more exact.

The average is kept in the optimizer's state under `average`, so that checkpoints hold it, and it changes no update:
training goes on from the last weights, while evaluations, and whatever follows the stage, use the average.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from chainlift.learning import master_weights
from chainlift.learning.optimizer import Optimizer

KEY = "average"


def first_averaged(total: int, tail: float) -> int:
    """Number (from 1) of the first of `total` updates whose weights are averaged; total + 1 if tail is 0."""
    return total - round(tail * total) + 1


@torch.no_grad()
def accumulate(model: nn.Module, optimizer: Optimizer, count: int, window: int | None = None) -> None:
    """Add the weights to their average as number `count` (from 1); below 1 nothing is averaged yet.

    Without a window the average is the mean of all iterates; with one their weights fall by 1 - 1/window a step.
    Number 1 overwrites the average of an earlier stage.
    """
    if count < 1:
        return
    for parameter in master_weights.trained(model).values():
        state = optimizer.state[parameter]
        if count == 1:
            state[KEY] = parameter.detach().clone()
        else:
            state[KEY].lerp_(parameter, 1 / (min(count, window) if window else count))


@torch.no_grad()
def settle(model: nn.Module, optimizer: Optimizer, count: int) -> None:
    """Replace the weights by the average of `count` iterates; nothing happens if count is below 1."""
    if count >= 1:
        for parameter in master_weights.trained(model).values():
            parameter.copy_(optimizer.state[parameter][KEY])
        master_weights.round_to_parameters(model)


@torch.no_grad()
def swap(model: nn.Module, optimizer: Optimizer, count: int) -> None:
    """Exchange the weights and their average of `count` iterates; nothing happens if count is below 1.

    So a checkpoint within a stage has the weights that were measured, and a stage that starts from it uses the average.
    The stage itself swaps again when it continues.
    """
    for parameter in master_weights.trained(model).values() if count >= 1 else ():
        last = parameter.detach().clone()
        parameter.copy_(optimizer.state[parameter][KEY])
        optimizer.state[parameter][KEY].copy_(last)
    master_weights.round_to_parameters(model)


@contextmanager
def averaged(model: nn.Module, optimizer: Optimizer, count: int) -> Iterator[None]:
    """Use the average of `count` iterates inside the block and restore the last weights after it."""
    if count < 1:
        yield
        return
    parameters = list(master_weights.trained(model).values())
    last = [parameter.detach().clone() for parameter in parameters]
    settle(model, optimizer, count)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, last, strict=True):
                parameter.copy_(value)
        master_weights.round_to_parameters(model)
