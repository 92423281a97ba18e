"""The transformer's blocks in two families: settings, MLPs and norms (attention.py has the attention).

`gpt2`: LayerNorm, GELU (tanh form), biases. `mistral`: rotary positions, RMSNorm, SwiGLU, grouped-query heads, no
biases.

Shapes: B rows, T prefix positions, S suffix positions, D width, H key-value heads, E width of a head.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from chainlift.models.protocol import KeysValues
from chainlift.models.transformer.attention import Attention
from chainlift.models.transformer.packing import Packing
from chainlift.models.transformer.rms_norm import RMSNorm
from chainlift.settings import Settings


class ModelSettings(Settings):
    """The family and size of the transformer."""

    family: Literal["gpt2", "mistral"] = "gpt2"
    """gpt2: learned positions, LayerNorm, GELU, biases; mistral: RoPE, RMSNorm, SwiGLU, grouped-query heads."""
    layers: int = Field(default=2, ge=1, le=4096)
    """Number of blocks."""
    width: int = Field(default=128, ge=4, le=2**20)
    """Width D of the residual stream."""
    heads: int = Field(default=4, ge=1, le=2**16)
    """Number of query heads."""
    kv_heads: int | None = Field(default=None, ge=1, le=2**16)
    """Number of key-value heads; default: heads for gpt2, heads / 2 (at least 1) for mistral."""
    mlp_width: int | None = Field(default=None, ge=1, le=2**22)
    """Hidden width of the MLP; default: 4 D for gpt2, 3 D for mistral (whose MLP has three matrices)."""

    @property
    def num_kv_heads(self) -> int:
        """Number of key-value heads, default filled in."""
        default = self.heads if self.family == "gpt2" else max(self.heads // 2, 1)
        return self.kv_heads or default

    @property
    def hidden_width(self) -> int:
        """Hidden width of the MLP, default filled in."""
        return self.mlp_width or self.width * (4 if self.family == "gpt2" else 3)

    @property
    def epsilon(self) -> float:
        """What the norms add to a variance."""
        return 1e-5

    @model_validator(mode="after")
    def _heads_fit(self) -> ModelSettings:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} must be an even multiple of heads {self.heads}")
        if self.heads % self.num_kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} must divide heads {self.heads}")
        if self.family == "gpt2" and self.num_kv_heads != self.heads:
            raise ValueError("kv_heads must equal heads (or be left out) for family gpt2")
        return self


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
        self.attention = Attention(settings.width, settings.heads, settings.num_kv_heads, bias=gpt2)
        self.mlp_norm = make_norm(settings)
        self.mlp = GeluMLP(settings) if gpt2 else SwiGluMLP(settings)

    def project(self, x: Tensor) -> Tensor:
        """Concatenated queries, keys and values of the block's input x (..., D)."""
        return self.attention.qkv(self.attention_norm(x))

    def forward(
        self,
        x: Tensor,
        past: KeysValues | None,
        rotation: KeysValues | None,
        projected: Tensor | None = None,
        visible: Tensor | None = None,
        packing: Packing | None = None,
        chosen: Tensor | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """Output (B, S, D) of x (B, S, D) after `past` keys and values (B, H, T, E), and x's own keys and values.

        projected: the result of `project` for x, if it is known already. visible: for rows with padding. With a
        packing x and the output are (1, N, D), or the output is that of the `chosen` tokens alone.
        """
        projected = self.project(x) if projected is None else projected
        projected = projected if packing is None else packing.spread(projected)
        query, key, value = self.attention.split(projected, rotation)
        keys, values = key, value
        if past is not None:
            keys, values = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        attended = self.attention.attended(query, keys, values, visible)
        if packing is not None:
            attended = packing.gather(attended, chosen)
            x = x if chosen is None else x.index_select(1, chosen)
        return self.after_attention(x, self.attention.out(attended)), (key, value)

    def last_positions(
        self,
        x: Tensor,
        start: int,
        rotation: KeysValues | None,
        projected: Tensor | None = None,
        visible: Tensor | None = None,
    ) -> Tensor:
        """Output (B, S - start, D) of x (B, S, D), only at the positions from `start` on."""
        late = None if rotation is None else (rotation[0][start:], rotation[1][start:])
        if projected is None:
            normed = self.attention_norm(x)
            keys, values = self.attention.keys_values(normed, rotation)
            query = self.attention.queries(normed[:, start:], late)
        else:
            query, keys, values = self.attention.split(projected, rotation)
            query = query[:, :, :, start:]
        return self.after_attention(x[:, start:], self.attention.attend(query, keys, values, visible))

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """The block's output (B, S, D) from its input and the attention's output."""
        x = x + attended
        return x + self.mlp(self.mlp_norm(x))


def make_norm(settings: ModelSettings) -> nn.Module:
    """The family's normalization layer."""
    if settings.family == "gpt2":
        return nn.LayerNorm(settings.width)
    # PyTorch's rounds differently: with it, results of family mistral stay the same bit for bit.
    return (nn.RMSNorm if settings.family == "mistral" else RMSNorm)(settings.width, settings.epsilon)
