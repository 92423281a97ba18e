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
import torch.nn.functional as F
from torch import Tensor, nn

from chainlift.models import savings
from chainlift.models.attention import KeysValues, rotation_at
from chainlift.models.blocks import Block, ModelSettings, make_norm
from chainlift.models.decoding import Embedded, TransformerDecoder
from chainlift.models.graphs import GraphedDecoder
from chainlift.models.protocol import Cache

AT_ONCE = {"cpu": 2**11}  # tokens of a pass without a gradient: bounds memory, fits a CPU's caches
AT_ONCE_ON_A_GPU = 2**17
LOOKUP_FROM = 4  # tokens to be looked up, as a multiple of the rows of the table, from which on it is made


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

    def compile_parts(self) -> None:
        """Compile the MLPs, which training and decoding both call, for whatever number of tokens."""
        for block in self.layers:
            block.mlp.compile(dynamic=True)

    def embed(self, tokens: Tensor, position: Tensor) -> Embedded:
        """The first block's input for tokens (B, S) at positions (S,), and its projection if that is to be had from a
        table.

        Input and projection depend on token and position alone (with rotary positions on the token alone), so where
        rows are many they are computed once for each pair and looked up.
        """
        length = tokens.shape[1]
        rotation = None
        if self.positions is None:
            rotation = rotation_at(position, self.settings.width // self.settings.heads)
        pays = LOOKUP_FROM * self.vocabulary_size <= len(tokens) * (1 if self.positions is not None else length)
        if torch.is_grad_enabled() and torch.is_autocast_enabled(tokens.device.type):
            pays = False  # in bfloat16 adding up the gradients of equal rows takes longer than the products
        if not (pays and savings.on("lookup")):
            x = self.embedding(tokens)
            return Embedded(x if self.positions is None else x + self.positions(position), rotation)
        if self.positions is None:
            table, index = self.embedding.weight, tokens
        else:
            pairs = self.embedding.weight[:, None] + self.positions(position)
            table, index = pairs.flatten(0, 1), tokens * length + torch.arange(length, device=tokens.device)
        return Embedded(F.embedding(index, table), rotation, F.embedding(index, self.layers[0].project(table)))

    def prefill(self, prefix: Tensor) -> Cache:
        """Keys and values (P, H, T, E) of each block for prefix tokens (P, T)."""
        parts = [self._prefill(prefix[part]) for part in parts_of(prefix)]
        if len(parts) == 1:
            return parts[0]
        layers = [list(zip(*layer, strict=True)) for layer in zip(*parts, strict=True)]
        return [(torch.cat(keys), torch.cat(values)) for keys, values in layers]

    def _prefill(self, prefix: Tensor) -> Cache:
        x, rotation, projected = self.embed(prefix, positions_from(0, prefix))
        cache: list[KeysValues] = []
        for block in self.layers[:-1]:
            x, own = block(x, None, rotation, projected)
            projected = None
            cache.append(own)
        last = self.layers[-1].attention
        if projected is not None:
            cache.append(last.split(projected, rotation)[1:])
        else:
            cache.append(last.keys_values(self.layers[-1].attention_norm(x), rotation))
        return cache

    def logits(self, cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) for suffix tokens (B, S); row b continues prefix rows[b] (default: prefix b)."""
        found = []
        for part in parts_of(suffix):
            if rows is None:
                past = [(key[part], value[part]) for key, value in cache]
            else:
                past = [(key.index_select(0, rows[part]), value.index_select(0, rows[part])) for key, value in cache]
            found.append(self._logits(past, suffix[part]))
        return found[0] if len(found) == 1 else torch.cat(found)

    def _logits(self, cache: Cache, suffix: Tensor) -> Tensor:
        x, rotation, projected = self.embed(suffix, positions_from(cache[0][0].shape[2], suffix))
        for block, past in zip(self.layers, cache, strict=True):
            x, _ = block(x, past, rotation, projected)
            projected = None
        return self.read_out(x)

    def read(self, sequences: Tensor, start: int) -> Tensor:
        """Logits (B, S - start, V) of whole sequences (B, S) at the positions from `start` on."""
        if not savings.on("suffix only"):
            return self.logits(self.prefill(sequences[:, :0]), sequences)[:, start:]
        x, rotation, projected = self.embed(sequences, positions_from(0, sequences))
        for block in self.layers[:-1]:
            x, _ = block(x, None, rotation, projected)
            projected = None
        return self.read_out(self.layers[-1].last_positions(x, start, rotation, projected))

    def read_out(self, x: Tensor) -> Tensor:
        """Logits (B, S, V) of the last block's output (B, S, D)."""
        return self.head(self.norm(x))

    def decoder(self, cache: Cache, capacity: int) -> TransformerDecoder | GraphedDecoder:
        """A decoder of one row a prefix, for up to `capacity` suffix tokens."""
        replayed = cache[0][0].device.type == "cuda" and savings.on("cuda graphs")
        decoder = TransformerDecoder(self.layers, self.embed, self.read_out, cache, capacity, fixed_shapes=replayed)
        return GraphedDecoder(decoder) if replayed else decoder


def parts_of(tokens: Tensor) -> list[slice]:
    """Rows of tokens (B, S) that are read in one pass: all of them where there is a gradient to be taken."""
    rows = max(AT_ONCE.get(tokens.device.type, AT_ONCE_ON_A_GPU) // max(tokens.shape[1], 1), 1)
    if torch.is_grad_enabled() or len(tokens) <= rows:
        return [slice(None)]
    return [slice(start, start + rows) for start in range(0, len(tokens), rows)]


def positions_from(start: int, tokens: Tensor) -> Tensor:
    """Positions (S,) of tokens (B, S) of which the first stands at `start`."""
    return torch.arange(start, start + tokens.shape[1], device=tokens.device)
