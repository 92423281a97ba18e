"""Base class of all models. A *family* is a subclass with strict settings as its attribute `Settings`.

A family must define `forward`, the logits of whole sequences. Everything else has a default. By default prefixes are
not cached, and decoding reads the whole sequence again for each token (recompute.py); a family overrides the methods of
protocol.py to do better. Other code uses only the interface defined here: class methods take settings, before a model
is built, and the others take a model. No code outside a family's files depends on the family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from chainlift.models import lora, recompute
from chainlift.models.logp import token_logp
from chainlift.models.passes import MAX_TOKENS, parts_of
from chainlift.models.protocol import Cache, Decoder
from chainlift.models.transformer.products import ProductSizes
from chainlift.settings import Settings as BaseSettings
from chainlift.tasks.base import Task
from chainlift.text.task import TextTask

Learner = Literal["blind", "blind_to_the_stop"]
"""The learner that describes a trained model in theory: `blind` (theory/closed_forms.py), or `blind_to_the_stop`
(theory/linear_model.py), whose decision to go on depends on neither the prompt nor the first token."""


class Model(nn.Module):
    """A model of `vocabulary_size` tokens and at most `context` positions; a subclass with `Settings` is a family."""

    Settings: ClassVar[type[BaseSettings]]
    """The family's strict settings; their field `family` holds its name."""
    in_transformers: ClassVar[bool] = False
    """Whether the library transformers has a class for the family, and opens its folders."""
    any_length: bool = False
    """Whether the model reads sequences longer than `context`."""
    is_markov: ClassVar[bool] = False
    """Whether the next token depends only on the prompt and the previous token. Then expectations over responses have a
    closed form (measure/exact.py), for tasks of independent digits whose answer is the last one."""

    reads_text: ClassVar[bool] = False
    """Whether the family has a tokenizer for tasks of text (`bind`)."""

    def __init__(self, settings: Any, vocabulary_size: int, context: int) -> None:
        super().__init__()
        self.settings = settings
        self.vocabulary_size, self.context = vocabulary_size, context
        self.padding: int | None = None
        """The token that is masked where it stands left of a prompt; None: prompts have no masked padding."""

    # Before a model is built.

    @classmethod
    def check(cls, settings: Any, task: Task) -> None:
        """Raise a one-line ValueError if a model with these settings cannot learn the task."""

    @classmethod
    def bind(cls, settings: Any, task: TextTask) -> Task:
        """A task of text in the tokens of a model with these settings; ValueError if the family reads symbols only."""
        raise ValueError(f"family {settings.family!r} reads symbols, and no text")

    @classmethod
    def fewest_parameters(cls, settings: Any, context: int) -> int:
        """A lower bound on the number of parameters, also of models that are too large to build."""
        return 0

    @classmethod
    def cache_bytes(cls, settings: Any, rows: int, positions: int) -> float:
        """Bytes of the cache of `rows` sequences of `positions` tokens that are sampled at once."""
        return 0.0

    @classmethod
    def theory(cls, settings: Any) -> Learner | None:
        """The learner that describes a trained model in theory, None if there is no prediction."""
        return None

    @classmethod
    def product_sizes(cls, settings: Any, vocabulary_size: int) -> ProductSizes | None:
        """The sizes of the matrix products; None: operations are not counted, and `bench` does not time the family."""
        return None

    # A family must define `forward(tokens)`: logits (B, S, V) of the next token at every position of tokens (B, S).
    # No logit may depend on a later token.

    def initialize(self, generator: torch.Generator) -> Self:
        """Draw embeddings from N(0, 1) and matrices from N(0, 1/fan in), set biases to 0, and return self.

        Other parameters stay as constructed. Every layer then keeps a variance near 1. GPT-2's standard deviation of
        .02 suits far wider models: at width 128 it leaves attention nearly uniform, and embeddings so small that
        AdamW's first steps overwrite them (docs/science.md).
        """
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Embedding | nn.Linear):
                    std = 1.0 if isinstance(module, nn.Embedding) else module.in_features**-0.5
                    module.weight.copy_(torch.empty(module.weight.shape).normal_(std=std, generator=generator))
                if isinstance(module, nn.Linear) and module.bias is not None:
                    module.bias.zero_()
        return self

    def fresh(self, generator: torch.Generator) -> Self:
        """Give the model the weights with which training begins, and return self: by default those of `initialize`."""
        return self.initialize(generator)

    # Reading sequences (protocol.py).

    def read(self, sequences: Tensor, start: int) -> Tensor:
        """Logits (B, S - start, V) of whole sequences (B, S) at the positions from `start` on."""
        # Not `self(...)`: hooks of sharded weights (learning/sharding.py) must not run inside a pass.
        return self.forward(sequences)[:, start:]

    def prefill(self, prefix: Tensor) -> Cache:
        """The cache of prefix tokens (P, T): by default the tokens themselves."""
        return recompute.keep(prefix)

    def logits(self, cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) for suffix tokens (B, S); row b continues prefix rows[b] (default: prefix b)."""
        sequences, start = recompute.join(cache, suffix, rows)
        logits = [self.read(sequences[part], start) for part in parts_of(sequences)]
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def suffix_logp(
        self,
        cache: Cache,
        suffix: Tensor,
        targets: Tensor,
        rows: Tensor | None = None,
        mask: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Log-probability (B, S) in float32 of targets (B, S), each as the token that follows suffix (B, S) there.

        The distributions are softmax(logits / temperature). Where `mask` (B, S) is False, any finite number may stand.
        """
        return token_logp(self.logits(cache, suffix, rows), targets, temperature)

    def read_logp(
        self, sequences: Tensor, start: int, targets: Tensor, mask: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """The same (B, S - start) for whole sequences (B, S), at the positions from `start` on."""
        return token_logp(self.read(sequences, start), targets, temperature)

    @property
    def tokens_per_pass(self) -> int:
        """Most tokens of one pass with gradients, about."""
        return MAX_TOKENS

    def decoder(self, cache: Cache, capacity: int) -> Decoder:
        """A decoder with one row per prefix, for up to `capacity` suffix tokens."""
        return recompute.RecomputingDecoder(self, cache)

    # For training, checkpoints and reports.

    @property
    def last_states(self) -> nn.Module | None:
        """The module with a vector of parameters in whose output (B, S, D) the logits are linear; None: there is none.

        A value head reads it (stages/kinds/ppo.py).
        """
        return None

    def muon_parameters(self) -> dict[str, nn.Parameter]:
        """The matrices that Muon optimizes, by name: by default those in the submodule `blocks`."""
        return block_matrices(self)

    def compile_parts(self) -> None:
        """Compile the parts that torch.compile makes faster: by default none."""

    def describe(self) -> str:
        """A one-line description: family, settings, number of parameters."""
        settings = self.settings.identity()
        sizes = [
            f"{key.replace('_', ' ')} {value}"
            for key, value in settings.items()
            if key != "family" and value is not None
        ]
        num_parameters = sum(parameter.numel() for parameter in self.parameters())
        return ", ".join([str(settings["family"]), *sizes, f"{num_parameters:,} parameters"])

    def to_hub(self) -> dict[str, Tensor]:
        """The weights under the names that checkpoint folders use."""
        return lora.merged(self)

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a checkpoint folder's config.json describes a model with the same parameters."""
        section = config.get("chainlift")
        described = (section.get("model"), section.get("context")) if isinstance(section, dict) else None
        return described == (self.settings.model_dump(mode="json"), self.context)

    def from_hub(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict from a checkpoint folder's weights; the inverse of `to_hub`, also if self is on `meta`."""
        return dict(weights)

    def hub_files(self, task: Task) -> dict[str, dict[str, Any]]:
        """{name: content} of a checkpoint folder's JSON files, including config.json."""
        return {"config.json": {"model_type": f"chainlift-{self.settings.family}"}}


def block_matrices(module: nn.Module) -> dict[str, nn.Parameter]:
    """The matrices in the submodule `blocks`, by name."""
    return {name: p for name, p in module.named_parameters() if name.startswith("blocks.") and p.dim() == 2}
