"""Log-probabilities of targets in rows of unequal length, read without padding (packing.py).

Shapes: B rows, S positions, R targets a row, M targets where `mask` is True, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainlift.models.left_padding import is_padding, rows_of
from chainlift.models.logp import token_logp
from chainlift.models.passes import parts_of
from chainlift.models.protocol import Cache
from chainlift.models.transformer.chunked_logp import chunked_logp
from chainlift.models.transformer.embedding import Embedded
from chainlift.models.transformer.packing import Packing

if TYPE_CHECKING:
    from chainlift.models.transformer.transformer import Transformer

LARGE_VOCABULARY = 8192  # tokens above which the logits of all positions are never kept


def read_logp(
    model: Transformer, sequences: Tensor, start: int, targets: Tensor, mask: Tensor | None, temperature: float
) -> Tensor:
    """Log-probabilities (B, R) of targets (B, R) after whole sequences (B, S), as models/model.py defines them."""
    mask = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask
    states = ((_read(model, sequences[part], start, mask[part]), part) for part in parts_of(sequences))
    return torch.cat([_logp(model, x, targets[part], mask[part], temperature) for x, part in states])


def suffix_logp(
    model: Transformer,
    cache: Cache,
    suffix: Tensor,
    targets: Tensor,
    rows: Tensor | None,
    mask: Tensor | None,
    temperature: float,
) -> Tensor:
    """The same (B, R) after suffix tokens (B, R) that continue the prefixes `rows`."""
    mask = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask
    numbered = [(part, part if rows is None else rows[part]) for part in parts_of(suffix)]
    states = ((_continued(model, cache, suffix[part], row, mask[part]), part) for part, row in numbered)
    return torch.cat([_logp(model, x, targets[part], mask[part], temperature) for x, part in states])


def _read(model: Transformer, sequences: Tensor, start: int, mask: Tensor) -> Tensor:
    """The last block's output (1, M, D) for sequences (B, S) where mask (B, S - start) is True.

    Rows move to the left, so that attention is causal without a mask.
    """
    is_read = torch.cat([~is_padding(sequences[:, :start], model.padding), _up_to_last(mask)], dim=1)
    is_target = torch.cat([torch.zeros_like(is_read[:, :start]), mask], dim=1)
    lengths = is_read.sum(dim=1)
    at_left = torch.arange(int(lengths.max()), device=mask.device) < lengths[:, None]
    packing, chosen = Packing.of(at_left), is_target[is_read].nonzero()[:, 0]
    x, rotation, projected = _embedded(model, sequences[is_read], packing, 0)
    for block in model.layers[:-1]:
        x, _ = model.computed(block, x, None, rotation, projected, None, packing)
        projected = None
    return model.computed(model.layers[-1], x, None, rotation, projected, None, packing, chosen)[0]


def _continued(model: Transformer, cache: Cache, suffix: Tensor, rows: Tensor | slice, mask: Tensor) -> Tensor:
    """The last block's output (1, M, D) for suffix tokens (B, S) of the prefixes `rows` where mask (B, S) is True."""
    layers = [(rows_of(key, rows), rows_of(value, rows)) for key, value in cache.layers]
    is_read, start = _up_to_last(mask), layers[0][0].shape[2]
    packing, chosen = Packing.of(is_read), mask[is_read].nonzero()[:, 0]
    x, rotation, projected = _embedded(model, suffix[is_read], packing, start)
    visible = model.visible(rows_of(cache.padding, rows), suffix.shape[1], start + suffix.shape[1])
    for block, past in zip(model.layers, layers, strict=True):
        last = chosen if block is model.layers[-1] else None
        x, _ = model.computed(block, x, past, rotation, projected, visible, packing, last)
        projected = None
    return x


def _logp(model: Transformer, x: Tensor, targets: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (B, R) of targets (B, R), 0 where mask is False, from the last block's output (1, M, D)."""
    if model.vocabulary_size > LARGE_VOCABULARY:
        values = chunked_logp(model.norm(x)[0], model.head_weight, targets[mask], temperature)
    else:
        values = token_logp(model.read_out(x), targets[mask][None], temperature)[0]
    return values.new_zeros(targets.shape).masked_scatter(mask, values)


def _embedded(model: Transformer, tokens: Tensor, packing: Packing, start: int) -> Embedded:
    """The first block's input for packed tokens (N,), with the rotation of all columns, which begin at `start`."""
    length = packing.shape[1]
    position = torch.arange(start, start + length, device=tokens.device)
    return model.embed(tokens[None], position if model.positions is None else position[packing.place % length])


def _up_to_last(mask: Tensor) -> Tensor:
    """(B, R) whether mask (B, R) is True here or later."""
    return mask.flip(1).cumsum(dim=1).flip(1) > 0
