"""Sizes of Llama models: of one from scratch, and of one whose configuration is not available."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from chainlift.settings import Settings


class ScratchSettings(Settings):
    """The sizes of a Llama with random initial weights."""

    layers: int = Field(default=3, ge=1)
    """Number of blocks."""
    width: int = Field(default=128, ge=8)
    """Width of the residual stream."""
    heads: int = Field(default=4, ge=1)
    """Number of attention heads."""
    mlp: int = Field(default=384, ge=8)
    """Hidden width of the gated MLP."""
    context: int = Field(default=512, ge=16)
    """Largest number of tokens of prompt and completion together."""
    vocabulary: int = Field(default=512, ge=300)
    """Tokens of the byte-pair encoding, which is trained on the problems; each digit is a token."""

    @property
    def parameters(self) -> int:
        """Number of parameters: embedding, blocks with their norms, last norm."""
        block = 4 * self.width**2 + 3 * self.width * self.mlp + 2 * self.width
        return self.vocabulary * self.width + self.layers * block + self.width

    @model_validator(mode="after")
    def _heads_divide(self) -> ScratchSettings:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of twice the heads ({self.heads})")
        return self


class ShapeSettings(Settings):
    """The sizes of a Llama whose configuration is not available."""

    layers: int = Field(ge=1)
    """Number of blocks."""
    width: int = Field(ge=8)
    """Width of the residual stream."""
    heads: int = Field(ge=1)
    """Number of attention heads."""
    kv_heads: int = Field(ge=1)
    """Number of heads of keys and values."""
    mlp: int = Field(ge=8)
    """Hidden width of the gated MLP."""
    vocabulary: int = Field(ge=2)
    """Number of tokens."""
    tied: bool = False
    """Whether the output layer shares the embedding's weights."""


def scratch_config(settings: ScratchSettings, vocabulary: int) -> Any:
    """LlamaConfig of a model from scratch, for a tokenizer of `vocabulary` tokens."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=settings.width,
        intermediate_size=settings.mlp,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        eos_token_id=None,
        bos_token_id=None,
        attention_dropout=0.0,
    )


def shape_config(settings: ShapeSettings) -> Any:
    """LlamaConfig of a model of the given sizes."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=settings.vocabulary,
        hidden_size=settings.width,
        intermediate_size=settings.mlp,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        tie_word_embeddings=settings.tied,
    )
