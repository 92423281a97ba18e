"""The size of a language model from its configuration alone: its parameters, those of adapters, what it caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from chainlift.models.pretrained import loading
from chainlift.models.pretrained.family import LoraSettings, PretrainedSettings
from chainlift.models.shapes import shapes_only


@dataclass(frozen=True)
class ModelSize:
    """What arithmetic on memory needs to know of a model."""

    parameters: int
    adapted: int
    """Inputs and outputs, added up, of all layers that adapters are put beside."""
    config: Any
    """Its configuration in transformers, for layers, heads, widths and vocabulary."""

    def adapters(self, settings: LoraSettings) -> int:
        """Parameters of adapters: a matrix from the inputs to the rank and one from the rank to the outputs."""
        return settings.rank * self.adapted

    @property
    def mlp(self) -> int:
        """Width inside an MLP."""
        return getattr(self.config, "intermediate_size", None) or 4 * self.config.hidden_size


def size(settings: PretrainedSettings) -> ModelSize:
    """The size of a recipe's model, whose weights need not be available; ValueError where its configuration is not."""
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    config = loading.configuration(settings)
    with shapes_only():
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    head = model.get_output_embeddings()
    kinds = (torch.nn.Linear, Conv1D)  # GPT-2's linear layers are Conv1D
    linear: list[Any] = [layer for layer in model.modules() if isinstance(layer, kinds) and layer is not head]
    return ModelSize(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        adapted=sum(sum(layer.weight.shape) for layer in linear),
        config=config,
    )
