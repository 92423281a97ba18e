"""One decoder-only transformer in two families, read as (shared prefix, suffix).

`gpt2`: learned positions, LayerNorm, GELU (tanh form), biases, tied embeddings. `mistral`: rotary positions, RMSNorm,
SwiGLU, grouped-query heads, no biases. Both compute what the classes of the same name in transformers compute.

What is unusual: (1) no loss is on the prefix, so the last block computes only keys and values there, and neither the
final norm nor the head sees it; (2) many rows may continue one prefix, whose keys and values are computed once; (3)
grouped queries are folded into the query axis, so that no key or value is copied for them.

Shapes: B rows, P prefixes, T prefix positions, S suffix positions, D width, H key-value heads, R queries per
key-value head, E width of a head, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from chainlift.models.decoding import TransformerDecoder
from chainlift.models.protocol import Cache
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
        key, value = (t.view(batch, length, self.kv_heads, -1).transpose(1, 2) for t in (key, value))
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        return query, key, value

    def keys_values(self, x: Tensor, rotation: KeysValues | None) -> KeysValues:
        """Only keys and values (B, H, S, E) of x (B, S, D): all that a prefix needs of the last block."""
        skip = self.splits[0]
        bias = None if self.qkv.bias is None else self.qkv.bias[skip:]
        key, value = F.linear(x, self.qkv.weight[skip:], bias).split(self.splits[1:], dim=-1)
        key, value = (t.view(*x.shape[:2], self.kv_heads, -1).transpose(1, 2) for t in (key, value))
        return (key if rotation is None else rotate(key, rotation)), value

    def merge(self, attended: Tensor) -> Tensor:
        """The block's output (B, S, D) from attended values (B, H, R, S, E)."""
        batch, _, _, length, _ = attended.shape
        return self.out(attended.permute(0, 3, 1, 2, 4).reshape(batch, length, -1))

    def forward(self, x: Tensor, past: KeysValues | None, rotation: KeysValues | None) -> tuple[Tensor, KeysValues]:
        """Output (B, S, D) of x (B, S, D) after `past` keys and values (B, H, T, E), and x's own keys and values."""
        query, key, value = self.project(x, rotation)
        if past is None:
            keys, values = key, value
        else:
            keys, values = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        length, total = query.shape[3], keys.shape[2]
        mask = torch.ones(length, total, dtype=torch.bool, device=x.device).tril(total - length)
        attended = F.scaled_dot_product_attention(
            query.flatten(2, 3), keys, values, attn_mask=mask.repeat(self.repeats, 1)
        )
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


class Transformer(nn.Module):
    """A transformer of `settings` over `vocabulary_size` tokens and at most `context` positions."""

    def __init__(self, settings: ModelSettings, vocabulary_size: int, context: int) -> None:
        super().__init__()
        self.settings, self.vocabulary_size, self.context = settings, vocabulary_size, context
        self.embedding = nn.Embedding(vocabulary_size, settings.width)
        gpt2 = settings.family == "gpt2"
        self.positions = nn.Embedding(context, settings.width) if gpt2 else None
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = make_norm(settings)
        self.head = nn.Linear(settings.width, vocabulary_size, bias=False)
        if gpt2:
            self.head.weight = self.embedding.weight

    @property
    def layers(self) -> list[Block]:
        """The blocks, first to last."""
        return cast(list[Block], list(self.blocks))

    def initialise(self, generator: torch.Generator) -> Transformer:
        """Self, with weights drawn from `generator` as GPT-2's: N(0, .02²), residual outputs divided by sqrt(2
        layers).
        """
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
                    std = 0.02 / math.sqrt(2 * self.settings.layers) if residual else 0.02
                    draw = torch.empty(parameter.shape).normal_(std=std, generator=generator)
                    parameter.copy_(draw)
                elif name.endswith("bias"):
                    parameter.zero_()
                else:
                    parameter.fill_(1.0)
        return self

    def embed(self, tokens: Tensor, start: int) -> tuple[Tensor, KeysValues | None]:
        """(x (B, S, D), rotation) of tokens (B, S) at positions start, start + 1, ..."""
        x = self.embedding(tokens)
        position = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        if self.positions is not None:
            return x + self.positions(position), None
        return x, rotation_at(position, self.settings.width // self.settings.heads)

    def prefill(self, prefix: Tensor) -> Cache:
        """Keys and values (P, H, T, E) of each block for prefix tokens (P, T)."""
        x, rotation = self.embed(prefix, 0)
        cache: list[KeysValues] = []
        for block in self.layers[:-1]:
            x, own = block(x, None, rotation)
            cache.append(own)
        last = self.layers[-1]
        cache.append(last.attention.keys_values(last.attention_norm(x), rotation))
        return cache

    def logits(self, cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) for suffix tokens (B, S); row b continues prefix rows[b] (default: prefix b)."""
        x, rotation = self.embed(suffix, cache[0][0].shape[2])
        for block, (key, value) in zip(self.layers, cache, strict=True):
            past = (key, value) if rows is None else (key.index_select(0, rows), value.index_select(0, rows))
            x, _ = block(x, past, rotation)
        return self.head(self.norm(x))

    def decoder(self, cache: Cache, group_size: int, capacity: int) -> TransformerDecoder:
        """A decoder for `group_size` responses to each prefix, of up to `capacity` suffix tokens."""
        return TransformerDecoder(self, cache, group_size, capacity)


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
