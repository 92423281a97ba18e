"""Masked padding at the left of prompts of unequal length.

Rotary attention depends on differences of positions only, so the padding takes positions like other tokens, and it is
enough to mask it as keys. Only tokens before the first other one are padding: the same token may occur later.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def cut(sequences: Tensor, start: int, token: int | None) -> tuple[Tensor, Tensor | None]:
    """Sequences (B, S) without the columns that are padding in every row, and the padding (B,) that each row keeps.

    Padding is `token` at the left of a row, before `start`. (sequences, None) if no row keeps any.
    """
    if token is None or start == 0 or len(sequences) == 0:
        return sequences, None
    padding = is_padding(sequences[:, :start], token).sum(dim=1)
    least, most = torch.stack(padding.aminmax()).tolist()  # a GPU is waited for once
    return sequences[:, least:], padding - least if most > least else None


def is_padding(prompts: Tensor, token: int | None) -> Tensor:
    """(B, T) which tokens of prompts (B, T) are padding, `token` at their left; none if it is None."""
    return torch.zeros_like(prompts, dtype=torch.bool) if token is None else (prompts == token).long().cumprod(1).bool()


def rows_of(tensor: Any, rows: slice | Tensor) -> Any:
    """Some rows of a tensor; None has none."""
    if tensor is None:
        return None
    return tensor[rows] if isinstance(rows, slice) else tensor.index_select(0, rows)
