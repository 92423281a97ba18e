"""Token-by-token decoding of the transformer with a KV cache that is written in place.

The prefix's keys and values stay as they are, one copy for a whole group. The buffers of the responses double when
they are full, so most steps copy no cache, and short responses take little memory. When rows leave the batch, the
remaining ones are moved together.

With `fixed_shapes` every step does the same operations on the same memory: the position is a tensor, the buffers have
their final length, and attention reads all of them behind a mask. That is more work, but lets a GPU replay a step
(cuda_graphs.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from chainlift.models.protocol import Cache, KeysValues
from chainlift.models.transformer.attention import Attention
from chainlift.models.transformer.blocks import Block
from chainlift.models.transformer.embedding import Embedded

FIRST_ROOM = 8  # tokens
Embed = Callable[[Tensor, Tensor], Embedded]


class TransformerDecoder:
    """A decoder of responses that grow by one token a step; shapes as in models/transformer/transformer.py.

    `embed` makes the first block's input from tokens (B, S) at positions (S,), `read_out` logits from the last block's
    output.
    """

    def __init__(
        self,
        layers: Sequence[Block],
        embed: Embed,
        read_out: Callable[[Tensor], Tensor],
        cache: Cache,
        capacity: int,
        *,
        fixed_shapes: bool = False,
    ) -> None:
        self.layers, self.embed, self.read_out = layers, embed, read_out
        self.capacity, self.group_size = capacity, 1
        self.prefix: list[KeysValues] = [(key.contiguous(), value.contiguous()) for key, value in cache.layers]
        prefixes, heads, self.prefix_length, width = cache.layers[0][0].shape
        self.hidden = None  # (P, 1, 1, T): the prefixes' masked padding
        if cache.padding is not None:
            place = torch.arange(self.prefix_length, device=cache.padding.device)
            self.hidden = (place < cache.padding[:, None])[:, None, None]
        self.room = capacity if fixed_shapes else min(FIRST_ROOM, capacity)
        shape = (prefixes, heads, self.room, width)
        self.own: list[KeysValues] = [(key.new_zeros(shape), key.new_zeros(shape)) for key, _ in cache.layers]
        self.length = 0
        self.fixed_shapes = fixed_shapes
        self.place = torch.zeros(1, dtype=torch.long, device=cache.layers[0][0].device)  # `length`, if shapes are fixed

    def step(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after appending tokens (B,)."""
        if self.length == self.room:
            self._make_room()
        place = self.place if self.fixed_shapes else self.place + self.length
        x, rotation, projected = self.embed(tokens[:, None], place + self.prefix_length)
        self.length += 1
        for index, block in enumerate(self.layers):
            query, key, value = block.attention.split(block.project(x) if projected is None else projected, rotation)
            projected = None
            for buffer, new in zip(self.own[index], (key, value), strict=True):
                buffer.index_copy_(2, place, new.to(buffer.dtype))
            x = block.after_attention(x, self._attend(block.attention, index, query))
        if self.fixed_shapes:
            self.place += 1
        return self.read_out(x)[:, 0]

    def _attend(self, attention: Attention, index: int, query: Tensor) -> Tensor:
        """Attention (B, 1, D) of query (B, H, R, 1, E) over the shared prefix and the row's own tokens."""
        prefix_keys, prefix_values = self.prefix[index]
        own_keys, own_values = self.own[index]
        if not self.fixed_shapes:
            own_keys, own_values = own_keys[:, :, : self.length], own_values[:, :, : self.length]
        query = query[:, :, :, 0] * attention.head_width**-0.5
        prefix_scores = self._group(query) @ prefix_keys.transpose(2, 3)
        if self.hidden is not None:
            prefix_scores = prefix_scores.masked_fill(self.hidden, float("-inf"))
        prefix_scores = self._ungroup(prefix_scores)
        own_scores = query @ own_keys.transpose(2, 3)
        if self.fixed_shapes:
            later = torch.arange(own_scores.shape[-1], device=query.device) > self.place
            own_scores = own_scores.masked_fill(later, float("-inf"))
        weights = torch.cat([prefix_scores, own_scores], dim=-1).softmax(dim=-1)
        on_prefix, on_own = weights.split([self.prefix_length, own_scores.shape[-1]], dim=-1)
        attended = self._ungroup(self._group(on_prefix) @ prefix_values) + on_own @ own_values
        return attention.merge(attended[:, :, :, None])

    def _group(self, x: Tensor) -> Tensor:
        """(P * G, H, R, X) to (P, H, G * R, X), so that one product multiplies a group's queries with their prefix."""
        batch, heads, repeats, last = x.shape
        grouped = x.view(batch // self.group_size, self.group_size, heads, repeats, last).transpose(1, 2)
        return grouped.reshape(batch // self.group_size, heads, self.group_size * repeats, last)

    def _ungroup(self, x: Tensor) -> Tensor:
        """(P, H, G * R, X) back to (P * G, H, R, X)."""
        prefixes, heads, queries, last = x.shape
        repeats = queries // self.group_size
        grouped = x.view(prefixes, heads, self.group_size, repeats, last).transpose(1, 2)
        return grouped.reshape(prefixes * self.group_size, heads, repeats, last)

    def spread(self, group_size: int) -> None:
        """Repeat each row `group_size` times; the copies share its prefix's keys and values."""
        self.own = [
            (key.repeat_interleave(group_size, 0), value.repeat_interleave(group_size, 0)) for key, value in self.own
        ]
        self.group_size = group_size

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows (B',); each row then has its own copy of its prefix's keys and values."""
        prefix_rows = rows // self.group_size
        self.prefix = [(key[prefix_rows], value[prefix_rows]) for key, value in self.prefix]
        self.hidden = None if self.hidden is None else self.hidden[prefix_rows]
        self.own = [(key[rows], value[rows]) for key, value in self.own]
        self.group_size = 1

    def _make_room(self) -> None:
        """Double the buffers' length, up to the capacity."""
        more = min(self.room, self.capacity - self.room)
        assert more, "the decoder is full"
        self.own = [(F.pad(key, (0, 0, 0, more)), F.pad(value, (0, 0, 0, more))) for key, value in self.own]
        self.room += more
