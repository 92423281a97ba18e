"""A model as a folder, and back again; a transformer's is one that AutoModelForCausalLM and AutoTokenizer open.

A transformer's weights are stored under transformers' names in model.safetensors; config.json holds transformers'
fields and, under the key `chainlift`, the settings of model and task from which `load` builds our own. transformers
keeps that key, so a folder that it, TRL or peft has saved after training comes back too, in shards and in bfloat16 as
well. The linear model has no class in transformers, so its folder holds our names and our settings only. Nothing here
imports transformers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from chainlift.models import checksums, families, tensors
from chainlift.models.families import Model
from chainlift.models.transformer import Transformer
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import Task, Vocabulary

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
ADAPTERS = "adapter_config.json"


def save(model: Model, task: Task, folder: Path) -> None:
    """Write weights and configuration, and a transformer's tokenizer, of the model and its task into a folder."""
    if not isinstance(model, Transformer):
        tensors.write({name: value.detach().cpu() for name, value in model.state_dict().items()}, folder / WEIGHTS)
        config = {"model_type": "chainlift-linear", "chainlift": _own(model, task)}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return
    vocabulary = task.vocabulary
    weights = {name: value.contiguous() for name, value in _to_hub(model).items()}
    tensors.write(weights, folder / WEIGHTS, metadata={"format": "pt"})
    files = {
        "config.json": _config(model, task),
        "generation_config.json": {"eos_token_id": vocabulary.eos, "pad_token_id": vocabulary.eos, "do_sample": True},
        "tokenizer.json": _tokenizer(vocabulary),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",  # verl sends chats
            "eos_token": vocabulary.tokens[-1],
            "pad_token": vocabulary.tokens[-1],
            "model_max_length": model.context,
            "clean_up_tokenization_spaces": False,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Model, Task]:
    """The model, on the CPU in float32, and the task of a folder written by `save`, or by transformers from such a one.

    ValueError names the file that is missing or damaged.
    """
    config_file = folder / "config.json"
    weights_file = folder / (SHARDS if (folder / SHARDS).is_file() else WEIGHTS)
    if (folder / ADAPTERS).is_file() and not weights_file.is_file():
        raise ValueError(f"{folder} holds adapters only: merge them by peft's merge_and_unload(), and save")
    for file in (config_file, weights_file):
        if not file.is_file():
            raise ValueError(f"{file} is missing: {folder} is not a chainlift checkpoint")
    checksums.check(folder)
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        own = config["chainlift"]
        task = tasks.build(tasks.settings_class(own["task"]["name"])(**own["task"]))
        model = families.build(families.settings_class(own["model"])(**own["model"]), task, own["context"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ValueError(
            f"{config_file} is damaged or was not written by chainlift ({type(error).__name__})"
        ) from error
    try:
        weights = _read(weights_file)
        model.load_state_dict(_from_hub(model, weights) if isinstance(model, Transformer) else weights)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{weights_file} is damaged: {str(error).splitlines()[0]}") from error
    return model, task


def _read(weights_file: Path) -> dict[str, Tensor]:
    """All weights of a file, or of the shards that an index names, under their names."""
    if weights_file.name != SHARDS:
        return tensors.read(weights_file)
    shards = sorted(set(json.loads(weights_file.read_text(encoding="utf-8"))["weight_map"].values()))
    return {name: value for shard in shards for name, value in tensors.read(weights_file.parent / shard).items()}


def _own(model: Model, task: Task) -> dict[str, Any]:
    """What our own `load` builds model and task from."""
    return {
        "model": model.settings.model_dump(),
        "task": task.settings.model_dump(mode="json"),
        "context": model.context,
    }


def _config(model: Transformer, task: Task) -> dict[str, Any]:
    """config.json: transformers' fields of the family, and our own."""
    settings, vocabulary = model.settings, task.vocabulary
    shared: dict[str, Any] = {
        "vocab_size": vocabulary.size,
        "bos_token_id": vocabulary.eos,
        "eos_token_id": vocabulary.eos,
        "pad_token_id": vocabulary.eos,
        "dtype": "float32",
        "tie_word_embeddings": False,
        "chainlift": _own(model, task),
    }
    if settings.family == "gpt2":
        return shared | {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "n_positions": model.context,
            "n_embd": settings.width,
            "n_layer": settings.layers,
            "n_head": settings.heads,
            "n_inner": settings.hidden_width,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
        }
    return shared | {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "max_position_embeddings": model.context,
        "hidden_size": settings.width,
        "intermediate_size": settings.hidden_width,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.num_kv_heads,
        "head_dim": settings.width // settings.heads,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "sliding_window": None,
        "attention_dropout": 0.0,
    }


def _tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    """tokenizer.json: one token a character, or a word where tokens have several characters."""
    by_character = vocabulary.separator == ""
    split = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": vocabulary.eos,
                "content": vocabulary.tokens[-1],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "normalizer": None,
        "pre_tokenizer": split if by_character else {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": {"type": "Fuse"} if by_character else None,
        "model": {
            "type": "WordLevel",
            "vocab": {token: i for i, token in enumerate(vocabulary.tokens)},
            "unk_token": "<unk>",
        },
    }


# (our name, transformers' name) inside a block; several of transformers' matrices may be one of ours, joined by rows.
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
    """Our module name to transformers' module names, for all modules with weights."""
    gpt2 = model.settings.family == "gpt2"
    blocks, inside = ("transformer.h", _GPT2) if gpt2 else ("model.layers", _MISTRAL)
    names = {
        f"blocks.{i}.{ours}": [f"{blocks}.{i}.{name}" for name in theirs]
        for i in range(model.settings.layers)
        for ours, theirs in inside.items()
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
    """Rows of each of transformers' matrices that our joined matrix holds."""
    settings = model.settings
    if module.endswith("qkv"):
        kv_width = settings.num_kv_heads * (settings.width // settings.heads)
        return [settings.width, kv_width, kv_width]
    return [settings.hidden_width] * 2 if module.endswith("gate_up") else None


def _to_hub(model: Transformer) -> dict[str, Tensor]:
    """The weights under transformers' names."""
    found: dict[str, Tensor] = {}
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    for ours, theirs in _names(model).items():
        for kind in ("weight", "bias"):
            name = f"{ours}.{kind}"
            if name not in weights:
                continue
            value = weights[name].T if _transposed(model, name) else weights[name]
            pieces = [value] if len(theirs) == 1 else value.split(_row_splits(model, ours) or [], dim=0)
            found |= {f"{their}.{kind}": piece for their, piece in zip(theirs, pieces, strict=True)}
    return found


def _from_hub(model: Transformer, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's state from weights under transformers' names; KeyError or RuntimeError where they do not fit."""
    state: dict[str, Tensor] = {}
    own = model.state_dict()
    for ours, theirs in _names(model).items():
        for kind in ("weight", "bias"):
            name = f"{ours}.{kind}"
            if name in own:
                value = torch.cat([weights[f"{their}.{kind}"] for their in theirs])
                state[name] = value.T if _transposed(model, name) else value
    return state
