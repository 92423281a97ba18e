"""The base class of all models; a *family* is a subclass of it, with its strict settings as the attribute `Settings`.

A family defines `forward`, the logits of whole sequences, and everything else has a default: prefixes are not cached
but read again with what follows them, and decoding reads the whole sequence again for each token (recompute.py). A
family that can do better overrides the methods of protocol.py. What the rest of the project may ask about a family is
asked here, of the class (with settings, before a model is made) or of a model; nothing outside a family's own files
knows which family it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from chainlift.models import recompute
from chainlift.models.passes import parts_of
from chainlift.models.protocol import Cache, Decoder
from chainlift.models.transformer.products import ProductSizes
from chainlift.settings import Settings as BaseSettings
from chainlift.tasks.base import Task

Learner = Literal["blind", "blind_to_the_stop"]
"""What theory may take a trained model for: `blind`, the learner of theory/closed_forms.py; `blind_to_the_stop`, that
of theory/linear_model.py, whose decision to go on sees neither the prompt nor the first token."""


class Model(nn.Module):
    """A model of `vocabulary_size` tokens and at most `context` positions; a subclass with `Settings` is a family."""

    Settings: ClassVar[type[BaseSettings]]
    """The family's strict settings; their field `family` holds its name."""
    in_transformers: ClassVar[bool] = False
    """The library transformers has a class for it, and opens its folders."""
    any_length: bool = False
    """It reads sequences longer than `context`."""
    is_markov: ClassVar[bool] = False
    """Its next token depends on the prompt and the previous token only, so that expectations over its responses have a
    closed form (measure/exact.py); of tasks of independent digits whose answer is the last one."""

    def __init__(self, settings: Any, vocabulary_size: int, context: int) -> None:
        super().__init__()
        self.settings = settings
        self.vocabulary_size, self.context = vocabulary_size, context

    # What is asked before a model is made.

    @classmethod
    def check(cls, settings: Any, task: Task) -> None:
        """ValueError in one line if a model of these settings cannot learn the task."""

    @classmethod
    def fewest_parameters(cls, settings: Any, context: int) -> int:
        """A number of parameters that a model has at least, without making one: of absurd sizes none can be made."""
        return 0

    @classmethod
    def cache_bytes(cls, settings: Any, rows: int, positions: int) -> float:
        """Bytes of what is cached of rows that are sampled at once."""
        return 0.0

    @classmethod
    def theory(cls, settings: Any) -> Learner | None:
        """What theory may take a trained model for; None: there is no prediction."""
        return None

    @classmethod
    def product_sizes(cls, settings: Any, vocabulary_size: int) -> ProductSizes | None:
        """What its matrix products depend on; None: its operations are not counted, and `bench` does not time it."""
        return None

    # A family must define `forward(tokens)`: logits (B, S, V) of the next token at every position of tokens (B, S).
    # None may depend on a later token.

    def initialize(self, generator: torch.Generator) -> Self:
        """Self, drawn from `generator`: embeddings N(0, 1), matrices N(0, 1/fan in), biases 0, the rest as constructed.

        So every layer keeps a variance near 1. GPT-2's .02 is made for far wider models: at width 128 it leaves
        attention nearly uniform, and embeddings so small that AdamW's first steps overwrite them (docs/science.md).
        """
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Embedding | nn.Linear):
                    std = 1.0 if isinstance(module, nn.Embedding) else module.in_features**-0.5
                    module.weight.copy_(torch.empty(module.weight.shape).normal_(std=std, generator=generator))
                if isinstance(module, nn.Linear) and module.bias is not None:
                    module.bias.zero_()
        return self

    # How sequences are read (protocol.py).

    def read(self, sequences: Tensor, start: int) -> Tensor:
        """Logits (B, S - start, V) of whole sequences (B, S) at the positions from `start` on."""
        # Not `self(...)`: hooks of divided weights (learning/sharding.py) must not run inside a pass.
        return self.forward(sequences)[:, start:]

    def prefill(self, prefix: Tensor) -> Cache:
        """What is kept of prefix tokens (P, T): by default the tokens themselves."""
        return recompute.keep(prefix)

    def logits(self, cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) for suffix tokens (B, S); row b continues prefix rows[b] (default: prefix b)."""
        sequences, start = recompute.join(cache, suffix, rows)
        found = [self.read(sequences[part], start) for part in parts_of(sequences)]
        return found[0] if len(found) == 1 else torch.cat(found)

    def decoder(self, cache: Cache, capacity: int) -> Decoder:
        """A decoder of one row a prefix, for up to `capacity` suffix tokens."""
        return recompute.RecomputingDecoder(self, cache)

    # What training, checkpoints and reports ask of a model.

    def muon_parameters(self) -> dict[str, nn.Parameter]:
        """The matrices that Muon moves, by name: by default those inside a module `blocks`."""
        return block_matrices(self)

    def compile_parts(self) -> None:
        """Compile what gains from torch.compile: by default nothing."""

    def describe(self) -> str:
        """The model in one line: family, settings, number of parameters."""
        content = self.settings.model_dump(exclude_none=True)
        sizes = [f"{key.replace('_', ' ')} {value}" for key, value in content.items() if key != "family"]
        count = sum(parameter.numel() for parameter in self.parameters())
        return ", ".join([str(content["family"]), *sizes, f"{count:,} parameters"])

    def to_hub(self) -> dict[str, Tensor]:
        """The weights under the names that a checkpoint folder stores them by."""
        return self.state_dict()

    def from_hub(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state that weights of a checkpoint folder make; the inverse of `to_hub`, also where self is on `meta`."""
        return dict(weights)

    def hub_files(self, task: Task) -> dict[str, dict[str, Any]]:
        """{name: content} of the JSON files of a checkpoint folder, config.json among them."""
        return {"config.json": {"model_type": f"chainlift-{self.settings.family}"}}


def block_matrices(module: nn.Module) -> dict[str, nn.Parameter]:
    """The matrices inside the submodule `blocks`, by name."""
    return {name: p for name, p in module.named_parameters() if name.startswith("blocks.") and p.dim() == 2}
