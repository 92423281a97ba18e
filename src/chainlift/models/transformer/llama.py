"""The family `llama`: LlamaForCausalLM of the library transformers on this project's engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from chainlift.models import lora
from chainlift.models.hub import llama_config, tokenizer
from chainlift.models.hub.llama_folder import load_pretrained, resolved
from chainlift.models.pretrained import loading
from chainlift.models.protocol import KeysValues
from chainlift.models.transformer.attention import rotation_by
from chainlift.models.transformer.llama_settings import SIZES, LlamaSettings
from chainlift.models.transformer.products import ProductSizes
from chainlift.models.transformer.rope import frequencies
from chainlift.models.transformer.transformer import Transformer
from chainlift.tasks.base import Task
from chainlift.tasks.lengths import longest_sequence
from chainlift.text import tokenizer as text_tokenizer
from chainlift.text.task import TextTask
from chainlift.text.tokenized import TokenizedTask

NUMBER_OF = {"float32": 1.0, "bfloat16": 0.5}  # bytes of a cached number, as a share of those of float32


class Llama(Transformer):
    """A Llama of the sizes in `settings`, or of the model in their `path`."""

    Settings = LlamaSettings
    reads_text = True
    settings: LlamaSettings  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, settings: LlamaSettings, vocabulary_size: int, context: int) -> None:
        super().__init__(resolved(settings), vocabulary_size, context)
        self.source = settings
        self.recompute_blocks = self.settings.recompute
        for block in self.layers:
            block.attention.rotates_in_float32 = False  # half the cache, and all of attention in one type
        self.to(getattr(torch, settings.weights))

    @classmethod
    def bind(cls, settings: Any, task: TextTask) -> Task:
        """A task of text in the tokens of the model in `path`, or of a tokenizer that is trained on its problems."""
        loading.require_transformers()
        if settings.path is None:
            return TokenizedTask(task, text_tokenizer.of_task(task, settings.vocabulary), settings.vocabulary)
        tokenizer = loading.open_tokenizer(settings.path, settings.gguf_file, download=settings.download)
        return TokenizedTask(task, tokenizer, resolved(settings).vocabulary)

    def fresh(self, generator: torch.Generator) -> Self:
        """Give the model the pretrained weights of `path`, or draw them, add adapters if it has some, and return it."""
        if self.source.path is None:
            self.initialize(generator)
        else:
            load_pretrained(self.source, self)
        if self.settings.lora is not None:
            lora.add_adapters(self, self.settings.lora.rank, self.settings.lora.alpha, generator)
        return self

    def _add_head(self) -> None:
        if not self.settings.tied:
            super()._add_head()

    @classmethod
    def check(cls, settings: Any, task: Task) -> None:
        """Raise a one-line ValueError if the task's longest sequence exceeds the context, or adapters are too wide."""
        longest, sizes = longest_sequence(task), resolved(settings)
        if longest > sizes.context:
            question = getattr(task, "longest_question", None)
            raise ValueError(
                f"model.context is {sizes.context}, and the task's longest prompt and response are {longest}"
                f"{'' if question is None else f' ({question[:60]!r})'}; "
                f"{'raise it' if settings.path is None else 'lower task.max_tokens'}, or leave long prompts out"
            )
        if sizes.lora is not None:
            lora.check_rank(sizes.lora.rank, min(sizes.width, sizes.hidden_width))

    @classmethod
    def fewest_parameters(cls, settings: Any, context: int) -> int:
        """Parameters of the blocks' matrices."""
        return super().fewest_parameters(resolved(settings), context)

    @classmethod
    def cache_bytes(cls, settings: Any, rows: int, positions: int) -> float:
        """Bytes of the keys and values of rows that are sampled at once."""
        return NUMBER_OF[settings.weights] * super().cache_bytes(resolved(settings), rows, positions)

    @classmethod
    def product_sizes(cls, settings: Any, vocabulary_size: int) -> ProductSizes:
        """Sizes of its matrix products."""
        return super().product_sizes(resolved(settings), vocabulary_size)

    def initialize(self, generator: torch.Generator) -> Self:
        """Draw matrices from N(0, 1/fan in); if the head is tied, everything that enters the residual stream is scaled.

        A tied head reads a normed vector of length width^.5 with the embeddings: drawn from N(0, 1) as elsewhere
        (models/model.py), they would give logits of that standard deviation. So embeddings and the blocks' output
        matrices are smaller by width^.5. The norms undo a common factor: every block computes what it would without it,
        and the logits have variance 1.
        """
        super().initialize(generator)
        if self.settings.tied:
            with torch.no_grad():
                for name, weight in self.named_parameters():
                    if name.endswith(("embedding.weight", "attention.out.weight", "mlp.down.weight")):
                        weight.mul_(self.settings.width**-0.5)
        return self

    def rotation(self, position: Tensor) -> KeysValues:
        """(cos, sin), each (S, E), of rotary positions (S,)."""
        settings = self.settings
        head_width = settings.width // settings.heads
        return rotation_by(
            position, frequencies(head_width, settings.rope_base, settings.rope_scaling, position.device)
        )

    @property
    def head_weight(self) -> Tensor:
        """The output layer's matrix (V, D)."""
        return self.embedding.weight if self.settings.tied else self.head.weight

    def read_out(self, x: Tensor) -> Tensor:
        """Logits (B, S, V) of the last block's output (B, S, D)."""
        return F.linear(self.norm(x), self.head_weight)

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a config.json describes a Llama of the same sizes, also one that transformers wrote."""
        try:
            theirs = llama_config.sizes(config)
        except ValueError:
            return False
        ours = llama_config.sizes_of(self)
        return all(theirs[name] == ours[name] for name in SIZES if name != "context")

    def hub_files(self, task: Task) -> dict[str, dict[str, Any]]:
        """transformers' configuration files, and the tokenizer of a task of symbols; one of text has its own files."""
        files: dict[str, dict[str, Any]] = {
            "config.json": llama_config.config(self, task),
            "generation_config.json": {**llama_config.special_tokens(task), "do_sample": True},
        }
        if getattr(task, "tokenizer", None) is None:
            files["tokenizer.json"] = tokenizer.tokenizer(task)
            files["tokenizer_config.json"] = tokenizer.tokenizer_config(task, self.context)
        return files
