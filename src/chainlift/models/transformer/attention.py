"""Causal self-attention over a cached prefix and a suffix.

Grouped queries are folded into the query axis, so that keys and values are not copied for them.

Shapes: B rows, T prefix positions, S suffix positions, D width, H key-value heads, R queries per key-value head, E
width of a head.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chainlift.models.lora import AdaptedLinear
from chainlift.models.protocol import KeysValues
from chainlift.models.transformer.attention_kernels import without_plans
from chainlift.models.transformer.packing import Packing


class Attention(nn.Module):
    """The attention of one block; its caller computes or looks up the projection by `qkv`."""

    def __init__(self, width: int, heads: int, kv_heads: int, *, bias: bool) -> None:
        super().__init__()
        self.kv_heads, self.repeats, self.head_width = kv_heads, heads // kv_heads, width // heads
        kv_width = kv_heads * self.head_width
        self.splits = [width, kv_width, kv_width]
        self.qkv = nn.Linear(width, sum(self.splits), bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        self.rotates_in_float32 = True
        """Whether rotated queries and keys stay in float32, and in the cache, where projections are in bfloat16."""

    def split(self, projected: Tensor, rotation: KeysValues | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, R, S, E), keys and values (B, H, S, E) from the output of `qkv` (B, S, D + 2 H E)."""
        projected, rotation = self._rotated_together(projected, rotation, self.splits[2])
        query, key, value = projected.split(self.splits, dim=-1)
        return self._queries(query, rotation), *self._keys_values(key, value, rotation)

    def keys_values(self, x: Tensor, rotation: KeysValues | None, packing: Packing | None = None) -> KeysValues:
        """Only keys and values (B, H, S, E) of normed x (B, S, D): all that the last block computes for a prefix."""
        projected = self._project(x, slice(self.splits[0], None))
        projected = projected if packing is None else packing.spread(projected)
        projected, rotation = self._rotated_together(projected, rotation, self.splits[2])
        key, value = projected.split(self.splits[1:], dim=-1)
        return self._keys_values(key, value, rotation)

    def queries(self, x: Tensor, rotation: KeysValues | None) -> Tensor:
        """Only queries (B, H, R, S, E) of normed x (B, S, D)."""
        query, rotation = self._rotated_together(self._project(x, slice(self.splits[0])), rotation, 0)
        return self._queries(query, rotation)

    def visible(self, padding: Tensor | None, length: int, total: int) -> Tensor | None:
        """(B, R S, T + S) which of `total` keys the last `length` positions attend to; None without `padding` (B,).

        The padding is masked as keys. A position in it attends to itself, so that no softmax is over nothing.
        """
        if padding is None:
            return None
        key = torch.arange(total, device=padding.device)
        position = key[total - length :, None]
        seen = (key <= position) & (key >= padding[:, None, None]) | (key == position)
        return seen.repeat(1, self.repeats, 1)

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None = None) -> Tensor:
        """The attention's output (B, S, D): that of `attended`, with the heads mixed."""
        return self.out(self.attended(query, keys, values, visible))

    def attended(self, query: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None = None) -> Tensor:
        """Causal attention (B, S, D) of queries (B, H, R, S, E) over keys and values (B, H, T + S, E).

        The queries are at the last S positions of the keys, and each attends to the positions up to its own, or only
        to the `visible` ones.
        """
        length, total = query.shape[3], keys.shape[2]
        # Then the kernel's own causal mask serves: half the work.
        plain = visible is None and length == total and self.repeats == 1
        mask = visible
        if mask is None and not plain:
            mask = torch.ones(length, total, dtype=torch.bool, device=query.device).tril(total - length)
            mask = mask.repeat(self.repeats, 1)
        if query.device.type == "cpu" and total <= _max_product_positions(query.dtype):
            attended = _product_attention(query.flatten(2, 3), keys, values, mask)
        else:
            mask = mask if visible is None else visible[:, None]  # the same for every head
            with without_plans():
                attended = F.scaled_dot_product_attention(
                    query.flatten(2, 3), keys, values, attn_mask=mask, is_causal=plain
                )
        return _joined(attended.view_as(query))

    def merge(self, attended: Tensor) -> Tensor:
        """The attention's output (B, S, D) from attended values (B, H, R, S, E)."""
        return self.out(_joined(attended))

    def _queries(self, query: Tensor, rotation: KeysValues | None) -> Tensor:
        batch, length, _ = query.shape
        query = query.view(batch, length, self.kv_heads, self.repeats, self.head_width).permute(0, 2, 3, 1, 4)
        return query if rotation is None else rotate(query, rotation)

    def _keys_values(self, key: Tensor, value: Tensor, rotation: KeysValues | None) -> KeysValues:
        key, value = (t.view(*t.shape[:2], self.kv_heads, self.head_width).transpose(1, 2) for t in (key, value))
        return (key if rotation is None else rotate(key, rotation)), value

    def _rotated_together(
        self, projected: Tensor, rotation: KeysValues | None, rest: int
    ) -> tuple[Tensor, KeysValues | None]:
        """All heads of projected (B, S, X) but the last `rest` columns rotated at once, and the rotation still to do.

        A small product turns all heads by a quarter, which is faster than copies of their halves.
        """
        if rotation is None or self.rotates_in_float32:
            return projected, rotation
        heads = (projected.shape[-1] - rest) // self.head_width
        cos, sin = (
            F.pad(part.repeat(1, heads), (0, rest), value=filling).to(projected.dtype)
            for part, filling in zip(rotation, (1.0, 0.0), strict=True)
        )
        turn = _quarter_turn(self.head_width, projected.dtype, projected.device)
        turned = (projected.unflatten(-1, (-1, self.head_width)) @ turn).flatten(-2)
        return torch.addcmul(projected * cos, turned, sin), None

    def _project(self, x: Tensor, rows: slice) -> Tensor:
        """The given rows of the output of `qkv`."""
        if isinstance(self.qkv, AdaptedLinear):
            return self.qkv.rows(x, rows)
        return F.linear(x, self.qkv.weight[rows], None if self.qkv.bias is None else self.qkv.bias[rows])


@functools.cache
def _quarter_turn(width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix (E, E) that turns a head (a, b) to (-b, a)."""
    turn = torch.eye(width, dtype=dtype, device=device).roll(width // 2, 0)
    return torch.cat([turn[: width // 2], -turn[width // 2 :]])


def _joined(attended: Tensor) -> Tensor:
    """(B, H, R, S, E) to (B, S, D)."""
    return attended.permute(0, 3, 1, 2, 4).flatten(2)


def _max_product_positions(dtype: torch.dtype) -> int:
    """Positions up to which plain products are faster than fused attention on a CPU, as measured (docs/benchmarks.md).

    The fused kernel's backward pass is slow, most of all in bfloat16; but longer scores do not fit the CPU's caches.
    """
    return 512 if dtype == torch.bfloat16 else 128


def _product_attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Attention by two matrix products and a softmax, head by head, which avoids a copy of all heads."""
    if mask is None:
        mask = torch.ones(query.shape[2], keys.shape[2], dtype=torch.bool, device=query.device).tril()
    bias = torch.zeros(mask.shape, dtype=query.dtype, device=mask.device).masked_fill_(~mask, float("-inf"))
    attended = []
    for q, k, v in zip(query.unbind(1), keys.unbind(1), values.unbind(1), strict=True):
        scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=query.shape[-1] ** -0.5)
        attended.append(torch.bmm(scores.softmax(dim=-1).to(v.dtype), v))
    return torch.stack(attended, dim=2).transpose(1, 2)


def rotation_at(position: Tensor, head_width: int, base: float = 10000.0) -> KeysValues:
    """(cos, sin), each (S, E), of rotary positions (Su et al. 2021, arXiv 2104.09864), halves rotated as in Llama."""
    frequency = base ** (-torch.arange(0, head_width, 2, device=position.device).float() / head_width)
    return rotation_by(position, frequency)


def rotation_by(position: Tensor, frequency: Tensor) -> KeysValues:
    """(cos, sin), each (S, E), of positions (S,) that rotate by the frequencies (E / 2,), in float32."""
    angle = torch.outer(position.float(), frequency).repeat(1, 2)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, rotation: KeysValues) -> Tensor:
    """x (..., S, E) with its halves rotated by (cos, sin)."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
