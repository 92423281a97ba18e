"""The floating-point operations that an update, a sample or an evaluation cannot do without.

Only matrix products count, a product of (n, k) and (k, m) as 2 n k m.

- What predicts a token depends on the tokens before it alone, so each *context* counts once, however many rows have it:
  a group's samples share their prompt, and as much of their responses as is equal.

- A prompt predicts nothing, so of the last block a prompt's positions but its last one (the *prefix*, P x T) need keys
  and values only, and neither norm nor head. The positions that predict (the *suffix*: the prompt's last token and the
  response but its last) need everything.
- The first block's queries, keys and values are a look-up: they depend on the token and, where positions are learned,
  on the position. Its table, one row a token or one a token and position, is what counts.
- A position attends to itself and what is before it: 2 x 2 x D operations a pair of query and key (scores and values).
- The backward pass costs twice the forward pass: the gradient of each product's two factors.
- Learning from samples costs their sampling as well, as no gradient can be taken before the reward is known.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.models.transformer.products import ProductSizes

LEARNING = 3
"""Forward and backward pass, in forward passes."""


def contexts(rows: Tensor, responses: Tensor, num_actions: Tensor) -> Tensor:
    """(R,) how many different contexts there are for each of R tokens, of responses (N, R) of which `num_actions` (N,)
    tokens count, to the prompts numbered `rows` (N,).
    """
    found = []
    same = rows  # equal numbers: equal contexts
    for t in range(responses.shape[1]):
        counts = num_actions > t
        same, responses, num_actions = same[counts], responses[counts], num_actions[counts]
        if not len(same):
            break
        found.append(len(same.unique()))
        same = torch.stack([same, responses[:, t]]).unique(dim=1, return_inverse=True)[1]
    return torch.tensor(found)


def all_different(lengths: Tensor) -> Tensor:
    """(R,) the contexts of rows that share none and have `lengths` (N,) tokens."""
    return (lengths[:, None] > torch.arange(int(lengths.max()))).sum(dim=0)


def products(sizes: ProductSizes, in_prefix: int, per_place: Tensor) -> float:
    """Operations of a forward pass in weight matrices, over `in_prefix` prefix positions and suffix positions of which
    `per_place` (R,) stand at each place after the prefix.
    """
    positions = float(per_place.sum())
    if not positions:
        return 0.0
    deep = sizes.layers - 1  # blocks but the first, and also: but the last
    found = positions * (sizes.layers * sizes.after_projection + deep * sizes.projection)
    found += positions * sizes.width * sizes.vocabulary
    if deep:
        found += in_prefix * (deep * sizes.after_projection + (deep - 1) * sizes.projection)
        found += in_prefix * 2 * sizes.width * sizes.kv_width
    return 2 * found


def forward(sizes: ProductSizes, prefixes: int, prefix_length: int, per_place: Tensor) -> float:
    """Operations of a forward pass over P prefixes of T tokens, and `per_place` (R,) contexts that end at each place
    behind them.
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
