"""The family `transformers`: causal language models of that library, or a Llama from scratch; they read text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from chainlift.models.lora import LoraSettings
from chainlift.models.pretrained.shapes import ScratchSettings, ShapeSettings
from chainlift.settings import NOT_HASHED, Settings


class PeftSettings(LoraSettings):
    """Adapters of the library peft."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on an adapter's input in fine-tuning; TRL turns all dropout off in RL."""


class PretrainedSettings(Settings):
    """Which language model (`path`, or `scratch`), and how it is stored and sampled."""

    family: Literal["transformers"] = "transformers"
    path: str | None = None
    """A folder that transformers opens, or a hub name; null: build `scratch`."""
    gguf_file: str | None = None
    """A GGUF file in that folder; `package:NAME` finds the only one in an installed Python package's folder."""
    download: bool = Field(default=False, json_schema_extra=NOT_HASHED)
    """Download a hub name that is not in the local cache."""
    scratch: ScratchSettings | None = None
    """The size of a model built from scratch."""
    lora: PeftSettings | None = None
    """Train adapters only; null: all weights."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """The type of the weights; bfloat16 halves their memory."""
    sampling_rows: int = Field(default=64, ge=1)
    """Most responses sampled at once, in measurements and in STaR."""
    sampling_gib: float = Field(default=8.0, gt=0)
    """Most memory (GiB) for the cache and the logits of a batch that is sampled on one device; limits its rows."""
    shape: ShapeSettings | None = Field(default=None, json_schema_extra=NOT_HASHED)
    """The model's sizes, for --dry-run where its configuration is not available."""

    @model_validator(mode="after")
    def _has_one_source(self) -> PretrainedSettings:
        if (self.path is None) == (self.scratch is None):
            raise ValueError("give either model.path or model.scratch")
        return self


class Pretrained:
    """The family `transformers`; loading.py opens its models."""

    Settings = PretrainedSettings
