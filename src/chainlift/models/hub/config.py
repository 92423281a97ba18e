"""config.json of a transformer: the fields from which the library transformers builds its model class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainlift.tasks.base import Vocabulary

if TYPE_CHECKING:
    from chainlift.models.transformer.transformer import Transformer


def config(model: Transformer, vocabulary: Vocabulary) -> dict[str, Any]:
    """The fields of GPT2Config or MistralConfig for a model."""
    settings = model.settings
    shared: dict[str, Any] = {
        "vocab_size": vocabulary.size,
        "bos_token_id": vocabulary.eos,
        "eos_token_id": vocabulary.eos,
        "pad_token_id": vocabulary.eos,
        "dtype": "float32",
        "tie_word_embeddings": False,
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
