"""config.json of a Llama: what the library transformers writes and reads, as our sizes and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chainlift.models.transformer.rope import RopeScaling
from chainlift.tasks.base import Task

if TYPE_CHECKING:
    from chainlift.models.transformer.llama import Llama

# {our name: (transformers' name, its default)}
_SIZES = {
    "layers": ("num_hidden_layers", 32),
    "width": ("hidden_size", 4096),
    "heads": ("num_attention_heads", 32),
    "kv_heads": ("num_key_value_heads", None),
    "mlp_width": ("intermediate_size", 11008),
    "context": ("max_position_embeddings", 2048),
    "vocabulary": ("vocab_size", 32000),
    "tied": ("tie_word_embeddings", False),
    "norm_eps": ("rms_norm_eps", 1e-6),
}
_SCALING = {
    "factor": "factor",
    "low_cycles": "low_freq_factor",
    "high_cycles": "high_freq_factor",
    "original_context": "original_max_position_embeddings",
}
_MUST_BE = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "attention_dropout": (0, 0.0),
    "pretraining_tp": (1,),
    "sliding_window": (None,),
    "quantization_config": (None,),
}
ARCHITECTURES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}  # by model_type


def sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Our sizes from transformers' configuration; a one-line ValueError if the family `llama` computes something else.

    A Mistral without a sliding window is a Llama.
    """
    kind = str(config.get("model_type"))
    architectures = config.get("architectures") or [ARCHITECTURES.get(kind, f"model of the type {kind}")]
    if kind not in ARCHITECTURES or architectures != [ARCHITECTURES[kind]]:
        named = architectures[0] if isinstance(architectures, list) else architectures
        raise ValueError(f"it is a {named}, and family llama is LlamaForCausalLM; use transformers")
    defaults = {"sliding_window": 4096, "num_key_value_heads": 8} if kind == "mistral" else {}
    config = defaults | dict(config)
    for name, allowed in _MUST_BE.items():
        if config.get(name, allowed[0]) not in allowed:
            raise ValueError(f"{name} is {config[name]!r}, and family llama has {allowed[0]!r}; use transformers")
    values = {ours: config.get(theirs, default) for ours, (theirs, default) in _SIZES.items()}
    values["kv_heads"] = values["kv_heads"] or values["heads"]
    head_width = config.get("head_dim")
    if head_width is not None and head_width * values["heads"] != values["width"]:
        raise ValueError(f"head_dim is {head_width}, and family llama has hidden_size / num_attention_heads")
    return values | _rotary(config)


def _rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    """{rope_base, rope_scaling} from rope_parameters, or from rope_theta and rope_scaling as older releases write."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "linear", "llama3"):
        raise ValueError(f"rope_type is {kind!r}, and family llama has default, linear and llama3; use transformers")
    if rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0)) != 1.0:
        raise ValueError("partial_rotary_factor is not 1, and family llama rotates whole heads; use transformers")
    base = rope.get("rope_theta", config.get("rope_theta", 10000.0))
    scaling = None
    if kind != "default":
        stored = {"type": kind} | {ours: rope[theirs] for ours, theirs in _SCALING.items() if theirs in rope}
        scaling = RopeScaling.model_validate(stored).model_dump()  # with defaults, as in the settings of a model
    return {"rope_base": float(base), "rope_scaling": scaling}


def sizes_of(model: Llama) -> dict[str, Any]:
    """A model's sizes, defaults filled in, under our names."""
    settings = model.settings
    ours = settings.model_dump() | {"kv_heads": settings.num_kv_heads, "mlp_width": settings.hidden_width}
    return ours | {"context": max(settings.context, model.context), "vocabulary": model.vocabulary_size}


def config(model: Llama, task: Task) -> dict[str, Any]:
    """The fields of LlamaConfig for a model and its task."""
    settings, ours = model.settings, sizes_of(model)
    return {
        "architectures": [ARCHITECTURES["llama"]],
        "model_type": "llama",
        **{theirs: ours[name] for name, (theirs, _) in _SIZES.items()},
        **special_tokens(task),
        "dtype": settings.weights,
        "head_dim": settings.width // settings.heads,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "rope_theta": settings.rope_base,
        "rope_parameters": _rope_parameters(settings.rope_base, settings.rope_scaling),
    }


def special_tokens(task: Task) -> dict[str, int | None]:
    """The ids of the tokens that begin and end a sequence and pad prompts; on symbols the end serves for all three."""
    eos = task.vocabulary.eos
    tokenizer = getattr(task, "tokenizer", None)
    if tokenizer is None:
        return {"bos_token_id": eos, "eos_token_id": eos, "pad_token_id": eos}
    return {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": eos, "pad_token_id": getattr(task, "padding", eos)}


def _rope_parameters(base: float, scaling: RopeScaling | None) -> dict[str, Any]:
    if scaling is None:
        return {"rope_type": "default", "rope_theta": base}
    names = _SCALING if scaling.type == "llama3" else {"factor": "factor"}
    return {"rope_type": scaling.type, "rope_theta": base} | {
        theirs: getattr(scaling, ours) for ours, theirs in names.items()
    }
