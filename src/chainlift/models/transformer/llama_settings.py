"""Settings of the family `llama`: the folder of a trained model, or the sizes of one from scratch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from chainlift.models import number_types
from chainlift.models.lora import LoraSettings
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.rope import RopeScaling
from chainlift.settings import NOT_HASHED


class LlamaSettings(ModelSettings):
    """Which Llama (`path`, or sizes), and how it is stored and trained."""

    family: Literal["llama"] = "llama"  # pyright: ignore[reportIncompatibleVariableOverride]
    """Rotary positions, RMSNorm, SwiGLU, grouped-query heads, no biases; it reads text."""
    path: str | None = None
    """A model's folder (LlamaForCausalLM in safetensors), a hub name, or `package:NAME`, the GGUF file in an installed
    Python package's folder; null: a model from scratch."""
    gguf_file: str | None = None
    """A GGUF file in that folder."""
    download: bool = Field(default=False, json_schema_extra=NOT_HASHED)
    """Download a hub name that is not in the local cache."""
    context: int = Field(default=512, ge=16, le=2**24)
    """Largest number of tokens of prompt and response together."""
    vocabulary: int = Field(default=512, ge=1, le=2**24)
    """Number of tokens; from scratch, of the byte-pair encoding, which is trained on the problems."""
    tied: bool = True
    """Whether the output layer shares the embedding's weights."""
    rope_base: float = Field(default=10000.0, gt=1)
    """Base of the rotary frequencies."""
    rope_scaling: RopeScaling | None = None
    """How the rotary frequencies are lowered for longer contexts; null: not."""
    norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    """What RMSNorm adds to the mean square."""
    weights: Literal["auto", "float32", "bfloat16"] = "float32"
    """The type of the weights; bfloat16 halves their memory; auto: bfloat16 if this machine (its GPU, or else its
    processor) has instructions for it, otherwise float32. It is decided where a recipe is read, and a run's recipe
    holds what it was."""
    lora: LoraSettings | None = None
    """Train adapters only; null: all weights."""
    recompute: bool = False
    """Compute a block's activations again in the backward pass instead of keeping them: less memory, more time."""

    def at_path(self, path: str) -> LlamaSettings:
        """The settings of the model in another folder, stored and trained as these say."""
        changes = {name: getattr(self, name) for name in type(self).model_fields if name not in SIZES}
        return type(self).model_validate(changes | {"path": path, "gguf_file": None})

    @property
    def epsilon(self) -> float:
        """What the norms add to a variance."""
        return self.norm_eps

    @field_validator("weights")
    @classmethod
    def _of_this_machine(cls, weights: str) -> str:
        return number_types.fastest_weights() if weights == "auto" else weights

    @model_validator(mode="after")
    def _has_one_source(self) -> LlamaSettings:
        if self.path is None and self.gguf_file is not None:
            raise ValueError("gguf_file needs model.path, its folder")
        fields = type(self).model_fields
        changed = next((name for name in SIZES if getattr(self, name) != fields[name].default), None)
        if self.path is not None and changed is not None:
            raise ValueError(f"{changed} is that of the model in path; leave it out")
        return self


SIZES = (
    *("layers", "width", "heads", "kv_heads", "mlp_width", "context", "vocabulary"),
    *("tied", "rope_base", "rope_scaling", "norm_eps"),
)
"""The fields that a model's folder decides."""
