"""One decoder-only transformer in two families (blocks.py), read as (shared prefix, suffix).

Both families compute what the classes of the same name in transformers compute. What is unusual: no loss is on the
prefix, so the last block computes only keys and values there, and neither the final norm nor the head sees it; and
many rows may continue one prefix, whose keys and values are computed once.

Shapes: B rows, P prefixes, T prefix positions, S suffix positions, D width, H key-value heads, E width of a head, V
vocabulary.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from chainlift.models.blocks import Block, KeysValues, ModelSettings, make_norm, rotation_at
from chainlift.models.decoding import TransformerDecoder
from chainlift.models.protocol import Cache


class Transformer(nn.Module):
    """A transformer of `settings` over `vocabulary_size` tokens and at most `context` positions."""

    def __init__(self, settings: ModelSettings, vocabulary_size: int, context: int) -> None:
        super().__init__()
        self.settings, self.vocabulary_size, self.context = settings, vocabulary_size, context
        self.embedding = nn.Embedding(vocabulary_size, settings.width)
        self.positions = nn.Embedding(context, settings.width) if settings.family == "gpt2" else None
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = make_norm(settings)
        self.head = nn.Linear(settings.width, vocabulary_size, bias=False)

    @property
    def layers(self) -> list[Block]:
        """The blocks, first to last."""
        return cast(list[Block], list(self.blocks))

    def initialise(self, generator: torch.Generator) -> Transformer:
        """Self, drawn from `generator`: embeddings N(0, 1), matrices N(0, 1/fan in), biases 0, norms 1.

        So every layer keeps a variance near 1. GPT-2's .02 is made for far wider models: at width 128 it leaves
        attention nearly uniform, and embeddings so small that AdamW's first steps overwrite them (docs/science.md).
        """
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Embedding | nn.Linear):
                    std = 1.0 if isinstance(module, nn.Embedding) else module.in_features**-0.5
                    module.weight.copy_(torch.empty(module.weight.shape).normal_(std=std, generator=generator))
                if isinstance(module, nn.Linear) and module.bias is not None:
                    module.bias.zero_()
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
