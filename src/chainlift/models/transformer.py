"""One decoder-only transformer in two families (blocks.py), read as (shared prefix, suffix).

Both families compute what the classes of the same name in transformers compute. What is unusual: no loss is on the
prefix, so the last block computes only keys and values there, and neither the final norm nor the head sees it; and
many rows may continue one prefix, whose keys and values are computed once.

Shapes: B rows, P prefixes, T prefix positions, S suffix positions, D width, H key-value heads, E width of a head, V
vocabulary.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from chainlift.models.blocks import Block, KeysValues, ModelSettings, make_norm, rotation_at
from chainlift.models.decoding import TransformerDecoder
from chainlift.models.protocol import Cache

POSITION_SIZE = 0.03  # of the sinusoids that learned positions begin with: a root mean square of .02


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
            if self.positions is not None:
                self.positions.weight.copy_(POSITION_SIZE * sinusoids(self.context, self.settings.width))
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
        return self.read_out(x)

    def read_out(self, x: Tensor) -> Tensor:
        """Logits (B, S, V) of the last block's output (B, S, D)."""
        return self.head(self.norm(x))

    def decoder(self, cache: Cache, group_size: int, capacity: int) -> TransformerDecoder:
        """A decoder for `group_size` responses to each prefix, of up to `capacity` suffix tokens."""
        return TransformerDecoder(self.layers, self.embed, self.read_out, cache, group_size, capacity)


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width) sines and cosines of the position, wavelengths 2 pi to 2 pi 10^4 (Vaswani et al. 2017, 3.5)."""
    frequency = 10000.0 ** (-torch.arange(0, width, 2) / width)
    angle = torch.outer(torch.arange(length), frequency)
    return torch.cat([angle.sin(), angle.cos()], dim=1)
