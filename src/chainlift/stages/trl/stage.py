"""The base of both kinds of stages by TRL: their optimizer's settings and checks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from chainlift.settings import NOT_HASHED, Settings
from chainlift.stages import starts
from chainlift.stages.stage import Stage
from chainlift.tasks.base import Task
from chainlift.tasks.mixture import MixtureSettings
from chainlift.text.task import TextTask

if TYPE_CHECKING:
    from chainlift.stages.recipe import Recipe
    from chainlift.stages.trl.lengths import Lengths
    from chainlift.stages.trl.memory_plan import MemoryPlan, Phase
    from chainlift.stages.trl.work import NumTokens, Work


class TrlStage(Stage):
    """A stage by one of TRL's trainers, with AdamW."""

    lr: float = Field(default=2e-5, gt=0)
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the rate decays to zero at the last update."""
    warmup: int = Field(default=0, ge=0)
    """Updates of linear warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's weight decay, on matrices."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Largest global gradient norm."""
    micro_batch_size: int = Field(default=16, ge=1)
    """Sequences of a forward and backward pass on one device: bounds the memory; gradients are summed."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    checkpoint_every: int = Field(default=100, ge=1, json_schema_extra=NOT_HASHED)
    """Updates between two checkpoints from which an interrupted run resumes."""

    IGNORES: ClassVar[Mapping[str, frozenset[str]]] = {}
    """{part of the recipe: further keys that do not affect the stage's weights}."""

    def check(self, recipe: Recipe, task: Task | TextTask) -> None:
        """ValueError in one line if the model is not one of transformers, or if adapters would have to be kept."""
        if not recipe.by_trl:
            raise ValueError(f"kind {self.kind!r} trains models of model.family=transformers; others use ntp or rl")
        if recipe.compile:
            raise ValueError("compile works only in our own engine; leave it out")
        starts_inside = starts.split(self.start, recipe.stages)[1] is not None
        if getattr(recipe.model, "lora", None) is not None and (self.keep != "last" or starts_inside):
            raise ValueError(
                "checkpoints inside a stage hold adapters alone (model.lora), from which nothing can start: leave keep "
                "out, and start from the ends of stages"
            )

    @abstractmethod
    def num_tokens(self, lengths: Lengths, mixture: MixtureSettings, max_tokens: int) -> NumTokens:
        """Numbers of tokens that the stage processes, if match_tokens does not decide it."""

    @abstractmethod
    def work(self, tokens: NumTokens) -> list[Work]:
        """Operations of the stage on these tokens."""

    @abstractmethod
    def memory(self, name: str, plan: MemoryPlan) -> list[Phase]:
        """Memory of a device in the phases of the stage `name`."""

    def measuring_keys(self, part: str, settings: Settings) -> frozenset[str]:
        """Keys of a part of the recipe that decide measurements of the stage but not its weights."""
        return super().measuring_keys(part, settings) | self.IGNORES.get(part, frozenset())
