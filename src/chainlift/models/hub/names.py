"""Rename a transformer's weights to and from the names of the library transformers (GPT-2, and Mistral or Llama)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainlift.models import lora

if TYPE_CHECKING:
    from chainlift.models.transformer.transformer import Transformer


# {our name: transformers' names} inside a block; one of our matrices may be several of transformers', joined by rows.
_GPT2 = {
    "attention_norm": ["ln_1"],
    "attention.qkv": ["attn.c_attn"],
    "attention.out": ["attn.c_proj"],
    "mlp_norm": ["ln_2"],
    "mlp.up": ["mlp.c_fc"],
    "mlp.down": ["mlp.c_proj"],
}
_MISTRAL = {
    "attention_norm": ["input_layernorm"],
    "attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "attention.out": ["self_attn.o_proj"],
    "mlp_norm": ["post_attention_layernorm"],
    "mlp.gate_up": ["mlp.gate_proj", "mlp.up_proj"],
    "mlp.down": ["mlp.down_proj"],
}


def _names(model: Transformer) -> dict[str, list[str]]:
    """{our module name: transformers' module names} of all modules with weights."""
    gpt2 = model.settings.family == "gpt2"
    blocks, block_names = ("transformer.h", _GPT2) if gpt2 else ("model.layers", _MISTRAL)
    names = {
        f"blocks.{i}.{ours}": [f"{blocks}.{i}.{name}" for name in theirs]
        for i in range(model.settings.layers)
        for ours, theirs in block_names.items()
    }
    names["head"] = ["lm_head"]
    if gpt2:
        return names | {
            "embedding": ["transformer.wte"],
            "positions": ["transformer.wpe"],
            "norm": ["transformer.ln_f"],
        }
    return names | {"embedding": ["model.embed_tokens"], "norm": ["model.norm"]}


def _transposed(model: Transformer, name: str) -> bool:
    """Whether transformers stores this weight as (in, out): GPT-2's Conv1D."""
    return model.settings.family == "gpt2" and name.endswith(("qkv.weight", "out.weight", "up.weight", "down.weight"))


def _row_splits(model: Transformer, module: str) -> list[int] | None:
    """Rows of each of transformers' matrices in our joined matrix, None if it is not joined."""
    settings = model.settings
    if module.endswith("qkv"):
        kv_width = settings.num_kv_heads * (settings.width // settings.heads)
        return [settings.width, kv_width, kv_width]
    return [settings.hidden_width] * 2 if module.endswith("gate_up") else None


def to_hub(model: Transformer) -> dict[str, Tensor]:
    """The model's weights under transformers' names."""
    hub_weights: dict[str, Tensor] = {}
    weights = {name: value.detach() for name, value in lora.merged(model).items()}
    for ours, theirs in _names(model).items():
        for kind in ("weight", "bias"):
            name = f"{ours}.{kind}"
            if name not in weights:
                continue
            value = weights[name].T if _transposed(model, name) else weights[name]
            pieces = [value] if len(theirs) == 1 else value.split(_row_splits(model, ours) or [], dim=0)
            hub_weights |= {f"{hub_name}.{kind}": piece for hub_name, piece in zip(theirs, pieces, strict=True)}
    return hub_weights


def from_hub(model: Transformer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's state dict from its weights under transformers' names; the model may be on `meta`."""
    state: dict[str, Tensor] = {}
    expected = model.state_dict()
    for ours, theirs in _names(model).items():
        for kind in ("weight", "bias"):
            name = f"{ours}.{kind}"
            if name in expected:
                value = torch.cat([weights[f"{hub_name}.{kind}"] for hub_name in theirs])
                state[name] = value.T if _transposed(model, name) else value
    return state
