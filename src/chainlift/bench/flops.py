"""The minimum floating-point operations of an update, of sampling or of an evaluation.

Only matrix products count; a product of (n, k) and (k, m) counts as 2 n k m.

- A prediction depends only on the tokens before it, so each *context* counts once, even if many rows contain it: the
  samples of a group share their prompt and equal beginnings of responses.
- Prompts predict nothing. So a prompt's positions except the last (the *prefix*, P x T) need only keys and values in
  the last block, and neither norm nor head. The predicting positions (the *suffix*: the prompt's last token and the
  response except its last token) need everything.
- The first block's queries, keys and values are a look-up: they depend on the token and, with learned positions, on the
  position. Only the table counts, with one row per token, or per token and position.
- A position attends to itself and all earlier ones: 2 x 2 x D operations per pair of query and key (scores and values).
- The backward pass costs twice the forward pass: gradients of both factors of each product.
- Learning from samples includes their sampling, because no gradient can be computed before the reward is known.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.models.transformer.products import ProductSizes

LEARNING = 3
"""Cost of a forward and a backward pass, in forward passes."""


def contexts(rows: Tensor, responses: Tensor, num_actions: Tensor) -> Tensor:
    """Numbers (R,) of different contexts of each token position in responses (N, R).

    rows (N,): index of each response's prompt. num_actions (N,): how many of a response's tokens count.
    """
    num_contexts = []
    same = rows  # equal numbers: equal contexts
    for t in range(responses.shape[1]):
        counts = num_actions > t
        same, responses, num_actions = same[counts], responses[counts], num_actions[counts]
        if not len(same):
            break
        num_contexts.append(len(same.unique()))
        same = torch.stack([same, responses[:, t]]).unique(dim=1, return_inverse=True)[1]
    return torch.tensor(num_contexts)


def all_different(lengths: Tensor) -> Tensor:
    """Numbers (R,) of contexts at each position of rows with `lengths` (N,) tokens that share no context."""
    return (lengths[:, None] > torch.arange(int(lengths.max()))).sum(dim=0)


def products(sizes: ProductSizes, in_prefix: int, per_place: Tensor) -> float:
    """Operations of a forward pass in weight matrices.

    in_prefix: number of prefix positions. per_place (R,): number of suffix positions at each place after the prefix.
    """
    positions = float(per_place.sum())
    if not positions:
        return 0.0
    deep = sizes.layers - 1  # blocks except the first; also: except the last
    multiplications = positions * (sizes.layers * sizes.after_projection + deep * sizes.projection)
    multiplications += positions * sizes.width * sizes.vocabulary
    if deep:
        multiplications += in_prefix * (deep * sizes.after_projection + (deep - 1) * sizes.projection)
        multiplications += in_prefix * 2 * sizes.width * sizes.kv_width
    return 2 * multiplications


def forward(sizes: ProductSizes, prefixes: int, prefix_length: int, per_place: Tensor) -> float:
    """Operations of a forward pass over P prefixes of T tokens and the contexts that follow them.

    per_place (R,): number of contexts that end at each place after the prefix.
    """
    per_place = per_place.double()
    positions = float(per_place.sum())
    if not positions:
        return 0.0
    in_prefix = prefixes * prefix_length
    rows = sizes.vocabulary * (prefix_length + len(per_place) if sizes.learned_positions else 1)
    table = 2 * min(rows, in_prefix + positions) * sizes.projection
    seen = prefix_length + 1 + torch.arange(len(per_place))
    pairs = (sizes.layers - 1) * prefixes * prefix_length * (prefix_length + 1) / 2
    pairs += sizes.layers * float((per_place * seen).sum())
    return table + products(sizes, in_prefix, per_place) + 2 * 2 * sizes.width * pairs
