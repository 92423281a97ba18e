"""The first block's input: embeddings of tokens and, where positions are learned, of positions.

Shapes: B rows, S positions, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainlift.models.protocol import KeysValues
from chainlift.models.transformer.blocks import Block

LOOKUP_FROM = 4  # lookups for each row of a table from which on the table is computed


class Embedded(NamedTuple):
    """The first block's input for some tokens."""

    x: Tensor
    """(B, S, D)."""
    rotation: KeysValues | None
    """(cos, sin) of their positions; None with learned positions."""
    projected: Tensor | None = None
    """The first block's queries, keys and values of x, if they are known."""


def embed(
    tokens: Tensor,
    position: Tensor,
    embedding: nn.Embedding,
    positions: nn.Embedding | None,
    first: Block,
    rotation: KeysValues | None,
) -> Embedded:
    """The first block's input for tokens (B, S) at positions (S,), with its projection if a table of it pays.

    Input and projection depend only on token and position (with rotary positions only on the token), so for many rows
    they are computed once for each pair and looked up.
    """
    length = tokens.shape[1]
    pays = LOOKUP_FROM * embedding.num_embeddings <= len(tokens) * (1 if positions is not None else length)
    low = embedding.weight.dtype == torch.bfloat16 or torch.is_autocast_enabled(tokens.device.type)
    if torch.is_grad_enabled() and low:
        pays = False  # in bfloat16 adding up the gradients of equal rows takes longer than the products
    if not pays:
        x = embedding(tokens)
        return Embedded(x if positions is None else x + positions(position), rotation)
    if positions is None:
        table, index = embedding.weight, tokens
    else:
        pairs = embedding.weight[:, None] + positions(position)
        table, index = pairs.flatten(0, 1), tokens * length + torch.arange(length, device=tokens.device)
    return Embedded(F.embedding(index, table), rotation, F.embedding(index, first.project(table)))


def positions_from(start: int, tokens: Tensor) -> Tensor:
    """Positions (S,) of tokens (B, S), the first of which is at `start`."""
    return torch.arange(start, start + tokens.shape[1], device=tokens.device)
