"""The share of weights that a small learning rate can change: a step below half a unit in the last place rounds to 0.

AdamW's first updates move a weight by about the learning rate, later ones by less. bfloat16 has 8 significant bits, so
the neighbors of a weight of 0.02 are 1.2e-4 away, and a step of 1e-6 never changes it, however often it is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SAMPLE_SIZE = 2**16  # weights read from each tensor
WARN_BELOW = 0.9  # a smaller share of changeable weights is a warning
REFUSE_BELOW = 1e-4  # a smaller share is an error
TYPICAL_SD = 0.02  # of a language model's weights, if they are not available
SIGNIFICANT_BITS = 8  # of bfloat16, with the implicit leading bit


def check(model: Any, lr: float, key: str, say: Callable[[str], None]) -> None:
    """Warn if a learning rate can change few of the model's trained weights; ValueError if almost none.

    key: the learning rate's key in the recipe; say: prints the warning.
    """
    share = changeable_share(model.parameters(), lr)
    if share >= WARN_BELOW:
        return
    message = (
        f"{key}={lr:g} is below half a unit in the last place of {1 - share:.2%} of the bfloat16 weights, which do not "
        "change; use model.weights=float32, or model.lora.rank=16, whose adapters are float32"
    )
    if share < REFUSE_BELOW:
        raise ValueError(f"{message}, or a higher rate")
    say(f"warning: {message}")


def changeable_share(parameters: Any, lr: float) -> float:
    """The share of weights that a step of size `lr` can change, from about SAMPLE_SIZE weights of each tensor.

    Zeros, which any step changes, do not count: a row of padding would hide that nothing else can learn.
    """
    changeable = total = 0.0
    for parameter in parameters:
        weights = parameter.detach().flatten()
        stride = max(1, weights.numel() // SAMPLE_SIZE)
        weights = weights[::stride].float()
        weights = weights[weights != 0]
        changeable += float((lr > half_unit(weights, parameter.dtype)).sum()) * stride
        total += weights.numel() * stride
    return changeable / max(total, 1)


def half_unit(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Half the distance from each nonzero weight to the next number of a dtype, away from zero."""
    _, exponent = torch.frexp(weights.abs())  # |w| = m * 2^exponent with m in [1/2, 1)
    return torch.ldexp(torch.full_like(weights, torch.finfo(dtype).eps), exponent - 2)


def changeable_share_of_normal(lr: float, sd: float = TYPICAL_SD) -> float:
    """The changeable share of bfloat16 weights from N(0, sd^2)."""
    _, exponent = math.frexp(lr)  # lr lies in [2^(exponent-1), 2^exponent)
    # A weight below 2^e is at most 2^(e - SIGNIFICANT_BITS) from the next one, and half of that must be below lr.
    largest = 2.0 ** (exponent + SIGNIFICANT_BITS)
    return math.erf(largest / (sd * math.sqrt(2)))
