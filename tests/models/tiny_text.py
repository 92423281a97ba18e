"""A task of text in miniature, a Llama in the real transformers, and prompts of unequal length."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from chainlift.models.hub import llama_folder
from chainlift.models.transformer.llama import Llama
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.seeding import stream
from chainlift.settings import Settings
from chainlift.text import tokenizer as vocabulary
from tests.models.pretrained.tiny_llama import TEXTS

PAD = 0
SCALED = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "rope_theta": 1000.0, "factor": 3.0}


class TinySettings(Settings):
    name: str = "tiny"


@dataclass
class TinyTask:
    """What saving a model asks of a task of text."""

    tokenizer: Any = field(default_factory=lambda: vocabulary.train(TEXTS, 300))
    settings: Settings = field(default_factory=TinySettings)
    masks_padding: bool = True

    @property
    def vocabulary(self) -> Any:
        return SimpleNamespace(eos=self.tokenizer.eos_token_id, size=len(self.tokenizer))

    @property
    def padding(self) -> int:
        return self.tokenizer.pad_token_id


def theirs(rope: dict[str, Any] | None = None, **keys: Any) -> Any:
    """A LlamaForCausalLM like Llama 3.2 (grouped queries, tied head), of random weights large enough to show errors."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": 61,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "rope_parameters": SCALED if rope is None else rope,
        "eos_token_id": 1,
        "bos_token_id": None,
        "pad_token_id": PAD,
    }
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**sizes | keys)).eval()
        for parameter in model.parameters():
            parameter += 0.15 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model


def opened(folder: Path | str, **keys: Any) -> Llama:
    """The model of a folder on our engine, with masked padding."""
    settings = LlamaSettings.model_validate({"path": str(folder), **keys})
    sizes = llama_folder.resolved(settings)
    model = Llama(sizes, sizes.vocabulary, sizes.context)
    llama_folder.load_pretrained(settings, model)
    model.padding = PAD
    return model


def padded(lengths: list[int], vocabulary_size: int, length: int | None = None) -> Tensor:
    """Random prompts (P, T) of these lengths, padded on the left; no other token is PAD but the last but one."""
    length = length or max(lengths)
    prompts = torch.randint(2, vocabulary_size, (len(lengths), length), generator=stream(0, "prompts"))
    for row, real in zip(prompts, lengths, strict=True):
        row[: length - real] = PAD
        if real > 2:
            row[-2] = PAD  # as a token: only what stands left of all others is padding
    return prompts
