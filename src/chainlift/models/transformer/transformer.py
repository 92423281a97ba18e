"""One decoder-only transformer in two families (blocks.py), read as (shared prefix, suffix).

Both families compute the same as the classes of that name in transformers. Two things are unusual. The prefix has no
loss, so the last block computes only its keys and values, and the final norm and the head skip it. Many rows may
continue one prefix, whose keys and values are computed once.

Shapes: B rows, P prefixes, T prefix positions, S suffix positions, D width, H key-value heads, E width of a head, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from chainlift.models.hub import config, names, tokenizer
from chainlift.models.left_padding import cut, rows_of
from chainlift.models.model import Learner, Model
from chainlift.models.passes import parts_of
from chainlift.models.protocol import Cache, KeysValues
from chainlift.models.transformer import activations, packed_reading
from chainlift.models.transformer.attention import rotation_at
from chainlift.models.transformer.blocks import Block, ModelSettings, make_norm
from chainlift.models.transformer.cuda_graphs import GraphedDecoder, recording_after
from chainlift.models.transformer.decoding import TransformerDecoder
from chainlift.models.transformer.embedding import Embedded, embed, positions_from
from chainlift.models.transformer.packing import Packing
from chainlift.models.transformer.products import ProductSizes, sizes_of
from chainlift.tasks.base import Task

NUMBER = 4  # bytes of a cached key or value, float32


class Transformer(Model):
    """A transformer of `settings` over `vocabulary_size` tokens and at most `context` positions."""

    Settings = ModelSettings
    in_transformers = True
    settings: ModelSettings
    recompute_blocks: bool = False
    """Whether the backward pass computes each block again, instead of keeping what it computed (checkpointing)."""

    def __init__(self, settings: ModelSettings, vocabulary_size: int, context: int) -> None:
        super().__init__(settings, vocabulary_size, context)
        self.embedding = nn.Embedding(vocabulary_size, settings.width)
        self.positions = nn.Embedding(context, settings.width) if settings.family == "gpt2" else None
        self.any_length = self.positions is None
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = make_norm(settings)
        self._add_head()

    def _add_head(self) -> None:
        self.head = nn.Linear(self.settings.width, self.vocabulary_size, bias=False)

    @classmethod
    def check(cls, settings: Any, task: Task) -> None:
        """Raise a one-line ValueError if prompts have masked padding, which would shift learned positions."""
        if settings.family == "gpt2" and getattr(task, "masks_padding", False):
            raise ValueError("family gpt2 has learned positions, which the padding of prompts would shift")

    @classmethod
    def fewest_parameters(cls, settings: ModelSettings, context: int) -> int:
        """Parameters of the blocks' matrices and of the learned positions."""
        matrices = 2 * settings.width**2 + 2 * settings.width * settings.hidden_width
        return settings.layers * matrices + (context * settings.width if settings.family == "gpt2" else 0)

    @classmethod
    def cache_bytes(cls, settings: ModelSettings, rows: int, positions: int) -> float:
        """Bytes of the keys and values of rows that are sampled at once."""
        head = settings.width // settings.heads
        return float(rows * positions * 2 * settings.layers * settings.num_kv_heads * head * NUMBER)

    @classmethod
    def theory(cls, settings: ModelSettings) -> Learner:
        """The blind learner: a stage is too short for it to learn the whole sum from the prompt."""
        return "blind"

    @classmethod
    def product_sizes(cls, settings: ModelSettings, vocabulary_size: int) -> ProductSizes:
        """Sizes of its matrix products."""
        return sizes_of(settings, vocabulary_size)

    @property
    def layers(self) -> list[Block]:
        """The blocks, first to last."""
        return cast(list[Block], list(self.blocks))

    @property
    def tokens_per_pass(self) -> int:
        """Most tokens of one pass with gradients, about: fewer for large models."""
        number_bytes = self.head_weight.element_size()
        return activations.tokens_per_pass(self.settings, number_bytes, recomputes=self.recompute_blocks)

    @property
    def last_states(self) -> nn.Module:
        """The final norm."""
        return self.norm

    def compile_parts(self) -> None:
        """Compile the MLPs, which training and decoding both call, for any number of tokens."""
        for block in self.layers:
            block.mlp.compile(dynamic=True)

    def embed(self, tokens: Tensor, position: Tensor) -> Embedded:
        """The first block's input for tokens (B, S) at positions (S,)."""
        rotation = self.rotation(position) if self.positions is None else None
        return embed(tokens, position, self.embedding, self.positions, self.layers[0], rotation)

    def rotation(self, position: Tensor) -> KeysValues:
        """(cos, sin), each (S, E), of rotary positions (S,)."""
        return rotation_at(position, self.settings.width // self.settings.heads)

    def prefill(self, prefix: Tensor) -> Cache:
        """Keys and values (P, H, T, E) of each block for prefix tokens (P, T), without columns of padding only."""
        prefix, padding = cut(prefix, prefix.shape[1], self.padding)
        parts = [self._prefill(prefix[part], rows_of(padding, part)) for part in parts_of(prefix)]
        if len(parts) == 1:
            return Cache(parts[0], padding)
        layers = [list(zip(*layer, strict=True)) for layer in zip(*parts, strict=True)]
        return Cache([(torch.cat(keys), torch.cat(values)) for keys, values in layers], padding)

    def _prefill(self, prefix: Tensor, padding: Tensor | None) -> list[KeysValues]:
        position = positions_from(0, prefix)
        packing, tokens = None, prefix
        if padding is not None:
            is_real = position >= padding[:, None]
            packing, tokens = Packing.of(is_real), prefix[is_real][None]
        x, rotation, projected = self.embed(tokens, position)
        visible = self.visible(padding, prefix.shape[1], prefix.shape[1])
        cache: list[KeysValues] = []
        for block in self.layers[:-1]:
            x, keys_values = self.computed(block, x, None, rotation, projected, visible, packing)
            projected = None
            cache.append(keys_values)
        last = self.layers[-1].attention
        if projected is not None:
            projected = projected if packing is None else packing.spread(projected)
            cache.append(last.split(projected, rotation)[1:])
        else:
            cache.append(last.keys_values(self.layers[-1].attention_norm(x), rotation, packing))
        return cache

    def logits(self, cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) for suffix tokens (B, S); row b continues prefix rows[b] (default: prefix b)."""
        logits = [self.read_out(self._states(cache, suffix, rows, part)) for part in parts_of(suffix)]
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def _states(self, cache: Cache, suffix: Tensor, rows: Tensor | None, part: slice) -> Tensor:
        """The last block's output (b, S, D) for a part of the rows of suffix (B, S)."""
        which = part if rows is None else rows[part]
        layers = [(rows_of(key, which), rows_of(value, which)) for key, value in cache.layers]
        suffix, start = suffix[part], layers[0][0].shape[2]
        x, rotation, projected = self.embed(suffix, positions_from(start, suffix))
        visible = self.visible(rows_of(cache.padding, which), suffix.shape[1], start + suffix.shape[1])
        for block, past in zip(self.layers, layers, strict=True):
            x, _ = self.computed(block, x, past, rotation, projected, visible)
            projected = None
        return x

    def read(self, sequences: Tensor, start: int) -> Tensor:
        """Logits (B, S - start, V) of whole sequences (B, S) at the positions from `start` on."""
        return self.read_out(self._read_states(sequences, start))

    def _read_states(self, sequences: Tensor, start: int) -> Tensor:
        """The last block's output (B, S - start, D) for whole sequences (B, S)."""
        length = sequences.shape[1] - start
        sequences, padding = cut(sequences, start, self.padding)
        total = sequences.shape[1]
        x, rotation, projected = self.embed(sequences, positions_from(0, sequences))
        visible = self.visible(padding, total, total)
        for block in self.layers[:-1]:
            x, _ = self.computed(block, x, None, rotation, projected, visible)
            projected = None
        visible = self.visible(padding, length, total)
        return self.computed(self.layers[-1].last_positions, x, total - length, rotation, projected, visible)

    def visible(self, padding: Tensor | None, length: int, total: int) -> Tensor | None:
        """As Attention.visible."""
        return self.layers[0].attention.visible(padding, length, total)

    def computed(self, function: Callable[..., Any], *inputs: Any) -> Any:
        """The function's result, computed again in the backward pass if `recompute_blocks`."""
        if self.recompute_blocks and torch.is_grad_enabled():
            return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
        return function(*inputs)

    def suffix_logp(
        self,
        cache: Cache,
        suffix: Tensor,
        targets: Tensor,
        rows: Tensor | None = None,
        mask: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Log-probabilities (B, S) as models/model.py defines them; with a large vocabulary without all logits."""
        if not self._packs:
            return super().suffix_logp(cache, suffix, targets, rows, mask, temperature)
        return packed_reading.suffix_logp(self, cache, suffix, targets, rows, mask, temperature)

    def read_logp(
        self, sequences: Tensor, start: int, targets: Tensor, mask: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """The same (B, S - start) for whole sequences (B, S), at the positions from `start` on."""
        if not self._packs:
            return super().read_logp(sequences, start, targets, mask, temperature)
        return packed_reading.read_logp(self, sequences, start, targets, mask, temperature)

    @property
    def _packs(self) -> bool:
        """Whether log-probabilities are read without padding, and never with the logits of all positions."""
        return self.padding is not None or self.vocabulary_size > packed_reading.LARGE_VOCABULARY

    @property
    def head_weight(self) -> Tensor:
        """The output layer's matrix (V, D)."""
        return self.head.weight

    def read_out(self, x: Tensor) -> Tensor:
        """Logits (B, S, V) of the last block's output (B, S, D)."""
        return self.head(self.norm(x))

    def decoder(self, cache: Cache, capacity: int) -> TransformerDecoder | GraphedDecoder:
        """A decoder with one row for each prefix and room for `capacity` suffix tokens."""
        after = recording_after(cache.layers[0][0].device)
        replayed = after is not None
        decoder = TransformerDecoder(self.layers, self.embed, self.read_out, cache, capacity, fixed_shapes=replayed)
        return GraphedDecoder(decoder, after) if replayed else decoder

    def to_hub(self) -> dict[str, Tensor]:
        """The weights under transformers' names."""
        return names.to_hub(self)

    def from_hub(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict from weights under transformers' names."""
        return names.from_hub(self, weights)

    def hub_files(self, task: Task) -> dict[str, dict[str, Any]]:
        """transformers' configuration files and the task's tokenizer."""
        eos = task.vocabulary.eos
        return {
            "config.json": config.config(self, task.vocabulary),
            "generation_config.json": {"eos_token_id": eos, "pad_token_id": eos, "do_sample": True},
            "tokenizer.json": tokenizer.tokenizer(task),
            "tokenizer_config.json": tokenizer.tokenizer_config(task, self.context),
        }
