"""The transformer's parts in two families: attention whose keys may begin with a prefix's, MLPs, norms, rotations.

`gpt2`: LayerNorm, GELU (tanh form), biases. `mistral`: rotary positions, RMSNorm, SwiGLU, grouped-query heads, no
biases. Grouped queries are folded into the query axis, so that no key or value is copied for them.

Shapes: B rows, T prefix positions, S suffix positions, D width, H key-value heads, R queries per key-value head, E
width of a head.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from chainlift.settings import Settings

KeysValues = tuple[Tensor, Tensor]


class ModelSettings(Settings):
    """The family and size of the transformer."""

    family: Literal["gpt2", "mistral"] = "gpt2"
    """gpt2: learned positions, LayerNorm, GELU, biases; mistral: RoPE, RMSNorm, SwiGLU, grouped-query heads."""
    layers: int = Field(default=2, ge=1)
    """Number of blocks."""
    width: int = Field(default=128, ge=4)
    """Width D of the residual stream."""
    heads: int = Field(default=4, ge=1)
    """Number of query heads."""
    kv_heads: int | None = Field(default=None, ge=1)
    """Number of key-value heads; default: heads for gpt2, heads / 2 (at least 1) for mistral."""
    mlp_width: int | None = Field(default=None, ge=1)
    """Hidden width of the MLP; default: 4 D for gpt2, 3 D for mistral (whose MLP has three matrices)."""

    @property
    def num_kv_heads(self) -> int:
        """The number of key-value heads, default filled in."""
        default = self.heads if self.family == "gpt2" else max(self.heads // 2, 1)
        return self.kv_heads or default

    @property
    def hidden_width(self) -> int:
        """The MLP's hidden width, default filled in."""
        return self.mlp_width or self.width * (4 if self.family == "gpt2" else 3)

    @model_validator(mode="after")
    def _heads_fit(self) -> ModelSettings:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} must be an even multiple of heads {self.heads}")
        if self.heads % self.num_kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} must divide heads {self.heads}")
        if self.family == "gpt2" and self.num_kv_heads != self.heads:
            raise ValueError("kv_heads must equal heads (or be left out) for family gpt2")
        return self


class Attention(nn.Module):
    """Causal self-attention whose keys may begin with those of a prefix."""

    def __init__(self, settings: ModelSettings, bias: bool) -> None:
        super().__init__()
        self.kv_heads = settings.num_kv_heads
        self.repeats = settings.heads // self.kv_heads
        self.head_width = settings.width // settings.heads
        kv_width = self.kv_heads * self.head_width
        self.splits = [settings.width, kv_width, kv_width]
        self.qkv = nn.Linear(settings.width, sum(self.splits), bias=bias)
        self.out = nn.Linear(settings.width, settings.width, bias=bias)

    def project(self, x: Tensor, rotation: KeysValues | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, R, S, E), keys and values (B, H, S, E) of x (B, S, D)."""
        batch, length, _ = x.shape
        query, key, value = self.qkv(x).split(self.splits, dim=-1)
        query = query.view(batch, length, self.kv_heads, self.repeats, self.head_width).permute(0, 2, 3, 1, 4)
        key, value = (t.view(batch, length, self.kv_heads, self.head_width).transpose(1, 2) for t in (key, value))
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        return query, key, value

    def keys_values(self, x: Tensor, rotation: KeysValues | None) -> KeysValues:
        """Only keys and values (B, H, S, E) of x (B, S, D): all that a prefix needs of the last block."""
        skip = self.splits[0]
        bias = None if self.qkv.bias is None else self.qkv.bias[skip:]
        key, value = F.linear(x, self.qkv.weight[skip:], bias).split(self.splits[1:], dim=-1)
        key, value = (t.view(*x.shape[:2], self.kv_heads, self.head_width).transpose(1, 2) for t in (key, value))
        return (key if rotation is None else rotate(key, rotation)), value

    def merge(self, attended: Tensor) -> Tensor:
        """The block's output (B, S, D) from attended values (B, H, R, S, E)."""
        batch, _, _, length, _ = attended.shape
        return self.out(attended.permute(0, 3, 1, 2, 4).reshape(batch, length, self.splits[0]))

    def forward(self, x: Tensor, past: KeysValues | None, rotation: KeysValues | None) -> tuple[Tensor, KeysValues]:
        """Output (B, S, D) of x (B, S, D) after `past` keys and values (B, H, T, E), and x's own keys and values."""
        query, key, value = self.project(x, rotation)
        if past is None:
            keys, values = key, value
        else:
            keys, values = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        length, total = query.shape[3], keys.shape[2]
        plain = past is None and self.repeats == 1  # then the kernel's own causal mask will do: half the work
        mask = None
        if not plain:
            mask = torch.ones(length, total, dtype=torch.bool, device=x.device).tril(total - length)
            mask = mask.repeat(self.repeats, 1)
        attended = F.scaled_dot_product_attention(query.flatten(2, 3), keys, values, attn_mask=mask, is_causal=plain)
        return self.merge(attended.view_as(query)), (key, value)


class GeluMLP(nn.Module):
    """GPT-2's MLP: up, GELU, down."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.up = nn.Linear(settings.width, settings.hidden_width)
        self.down = nn.Linear(settings.hidden_width, settings.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) to (B, S, D)."""
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class SwiGluMLP(nn.Module):
    """Mistral's MLP: SiLU of the gate times up, then down; gate and up are one matrix product."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.gate_up = nn.Linear(settings.width, 2 * settings.hidden_width, bias=False)
        self.down = nn.Linear(settings.hidden_width, settings.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) to (B, S, D)."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """Pre-norm residual block."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        gpt2 = settings.family == "gpt2"
        self.attention_norm = make_norm(settings)
        self.attention = Attention(settings, bias=gpt2)
        self.mlp_norm = make_norm(settings)
        self.mlp = GeluMLP(settings) if gpt2 else SwiGluMLP(settings)

    def forward(self, x: Tensor, past: KeysValues | None, rotation: KeysValues | None) -> tuple[Tensor, KeysValues]:
        """Output (B, S, D), and x's own keys and values."""
        attended, own = self.attention(self.attention_norm(x), past, rotation)
        x = x + attended
        return x + self.mlp(self.mlp_norm(x)), own


def make_norm(settings: ModelSettings) -> nn.Module:
    """The family's normalisation layer."""
    return nn.LayerNorm(settings.width) if settings.family == "gpt2" else nn.RMSNorm(settings.width, eps=1e-5)


def rotation_at(position: Tensor, head_width: int, base: float = 10000.0) -> KeysValues:
    """(cos, sin), each (S, E), of rotary positions: Su et al. 2021 (arXiv 2104.09864), halves rotated as in Llama."""
    frequency = base ** (-torch.arange(0, head_width, 2, device=position.device).float() / head_width)
    angle = torch.outer(position.float(), frequency).repeat(1, 2)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, rotation: KeysValues) -> Tensor:
    """x (..., S, E) with its halves rotated by (cos, sin)."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
