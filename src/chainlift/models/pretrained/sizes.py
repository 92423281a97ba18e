"""The size of a language model from its configuration alone: parameters, and parameters of adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from chainlift.models.lora import LoraSettings
from chainlift.models.pretrained import loading
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.shapes import shapes_only


@dataclass(frozen=True)
class ModelSize:
    """The sizes of a model that estimates of memory and time need."""

    parameters: int
    """Number of parameters."""
    adapted: int
    """Sum of inputs and outputs of all layers that get adapters."""
    config: Any
    """Its configuration in transformers, with layers, heads, widths and vocabulary."""

    def adapters(self, settings: LoraSettings) -> int:
        """Number of the adapters' parameters: matrices from inputs to rank and from rank to outputs."""
        return settings.rank * self.adapted

    @property
    def mlp(self) -> int:
        """Hidden width of an MLP."""
        return getattr(self.config, "intermediate_size", None) or 4 * self.config.hidden_size


def size(settings: PretrainedSettings) -> ModelSize:
    """The size of a recipe's model, without its weights; ValueError if its configuration is not available."""
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    config = loading.configuration(settings)
    with shapes_only():
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    head = model.get_output_embeddings()
    linear_classes = (torch.nn.Linear, Conv1D)  # GPT-2's linear layers are Conv1D
    layers: list[Any] = [layer for layer in model.modules() if isinstance(layer, linear_classes) and layer is not head]
    return ModelSize(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        adapted=sum(sum(layer.weight.shape) for layer in layers),
        config=config,
    )
