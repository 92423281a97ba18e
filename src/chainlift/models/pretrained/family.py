"""The family `transformers`: causal language models that the library opens, or a Llama from scratch; they read text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from chainlift.models.pretrained.shapes import ScratchSettings, ShapeSettings
from chainlift.settings import NOT_HASHED, Settings


class LoraSettings(Settings):
    """Low-rank adapters, trained instead of all weights."""

    rank: int = Field(default=16, ge=1)
    """Of each adapter."""
    alpha: float = Field(default=32.0, gt=0)
    """Its scale is alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On an adapter's input, in fine-tuning; TRL turns all dropout off in RL."""


class PretrainedSettings(Settings):
    """Which language model: `path`, or one from scratch; and how it is held and sampled."""

    family: Literal["transformers"] = "transformers"
    path: str | None = None
    """A folder that transformers opens, or a hub name; null: from scratch."""
    gguf_file: str | None = None
    """A GGUF file in that folder; `package:NAME` finds the only one in an installed Python package's folder."""
    download: bool = Field(default=False, json_schema_extra=NOT_HASHED)
    """Fetch a hub name that is not in the local cache."""
    scratch: ScratchSettings | None = None
    """The model from scratch."""
    lora: LoraSettings | None = None
    """Train adapters only; null: all weights."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """How weights are held; bfloat16 halves the memory of large ones."""
    sampling_rows: int = Field(default=64, ge=1)
    """Most responses sampled at once, in measurements and in STaR."""
    sampling_gib: float = Field(default=8.0, gt=0)
    """Memory (GiB) that the cache and the logits of what one device samples at once may take; batches keep to it."""
    shape: ShapeSettings | None = Field(default=None, json_schema_extra=NOT_HASHED)
    """The model's sizes, for --dry-run where its configuration is not available."""

    @model_validator(mode="after")
    def _one_of_both(self) -> PretrainedSettings:
        if (self.path is None) == (self.scratch is None):
            raise ValueError("give either model.path or model.scratch")
        return self


class Pretrained:
    """The family of models that transformers carries; loading.py opens them."""

    Settings = PretrainedSettings
