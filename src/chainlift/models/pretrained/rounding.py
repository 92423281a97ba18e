"""How many weights an update of a small rate can change at all: below half a unit in the last place it rounds away.

AdamW's first updates move a weight by about the learning rate, later ones by less. bfloat16 keeps 8 significant bits,
so a weight of 0.02 lies 1.2e-4 from the next one, and a step of 1e-6 leaves it as it is, however often it is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SAMPLED = 2**16  # weights looked at in each tensor
ENOUGH = 0.9  # no word where at least this share of the weights can change
NOTHING = 1e-4  # a smaller share is refused
TYPICAL_SD = 0.02  # of a language model's weights, where they are not at hand
SIGNIFICANT_BITS = 8  # of bfloat16, the leading one among them


def check(model: Any, lr: float, key: str, say: Callable[[str], None]) -> None:
    """Say how few weights a rate can change, ValueError where they are next to none; for a model whose weights train.

    key: the rate's name in the recipe.
    """
    share = changeable_share(model.parameters(), lr)
    if share >= ENOUGH:
        return
    line = (
        f"{key}={lr:g} is below half a unit in the last place of {1 - share:.2%} of the bfloat16 weights, which do not "
        "change; use model.weights=float32, or model.lora.rank=16, whose adapters are float32"
    )
    if share < NOTHING:
        raise ValueError(f"{line}, or a higher rate")
    say(f"warning: {line}")


def changeable_share(parameters: Any, lr: float) -> float:
    """The share of weights that a step of size `lr` can change, from at most SAMPLED of each tensor.

    Zeros, which any step changes, are left out: a row of padding would hide that nothing else can learn.
    """
    changed = total = 0.0
    for parameter in parameters:
        weights = parameter.detach().flatten()
        every = max(1, weights.numel() // SAMPLED)
        weights = weights[::every].float()
        weights = weights[weights != 0]
        changed += float((lr > half_unit(weights, parameter.dtype)).sum()) * every
        total += weights.numel() * every
    return changed / max(total, 1)


def half_unit(weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Half the distance from each weight, none of them 0, to the next number of a dtype, away from zero."""
    _, exponent = torch.frexp(weights.abs())  # |w| = m * 2^exponent with m in [1/2, 1)
    return torch.ldexp(torch.full_like(weights, torch.finfo(dtype).eps), exponent - 2)


def changeable_share_of_normal(lr: float, sd: float = TYPICAL_SD) -> float:
    """The share for bfloat16 weights that are normal with a standard deviation."""
    _, exponent = math.frexp(lr)  # lr lies in [2^(exponent-1), 2^exponent)
    # A weight below 2^e lies less than 2^(e - SIGNIFICANT_BITS) from the next one, and half of that must be below lr.
    largest = 2.0 ** (exponent + SIGNIFICANT_BITS)
    return math.erf(largest / (sd * math.sqrt(2)))
