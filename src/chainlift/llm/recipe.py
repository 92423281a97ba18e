"""A recipe for a language model: data, mixture, template, model, fine-tuning, RL, measurement; read like small ones."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from chainlift.llm import sources
from chainlift.llm.graders import GraderName
from chainlift.llm.measuring import LlmEvaluateSettings
from chainlift.llm.mixture import ProblemMixtureSettings
from chainlift.llm.models import LanguageModelSettings
from chainlift.llm.problem import DataSettings
from chainlift.llm.settings import FinetuneSettings, LlmPosttrainSettings
from chainlift.llm.templates import TemplateSettings
from chainlift.overrides import Kinds
from chainlift.settings import NOT_HASHED
from chainlift.stages import base_recipe as recipes
from chainlift.stages.base_recipe import BaseRecipe

KINDS: Kinds = {"data": lambda data: sources.settings_class(data.get("name"))}


HOW = {"every", "max_tokens", "temperature"}
"""Settings that decide what the measurements on the way are."""


class LlmRecipe(BaseRecipe):
    """What a run on a language model computes."""

    data: SerializeAsAny[DataSettings]
    """Problems; `data.name` chooses the source, its other keys belong to that."""
    template: TemplateSettings = TemplateSettings()
    """How problems and completions are written."""
    mixture: ProblemMixtureSettings = ProblemMixtureSettings()
    """Share of long demonstrations."""
    model: LanguageModelSettings
    """Who learns."""
    finetune: FinetuneSettings = FinetuneSettings()
    """Stage 1."""
    posttrain: LlmPosttrainSettings | None = None
    """Stage 2, reinforcement learning; null leaves it out."""
    evaluate: LlmEvaluateSettings = LlmEvaluateSettings()
    """What is measured, and how often."""
    grader: GraderName = "exact"
    """exact: numbers as exact fractions; math: formulas, by math-verify."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model is; auto: a CUDA GPU if there is one, else the CPU."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast of the matrix products."""
    sampling_gib: float = Field(default=8.0, gt=0)
    """Memory (GiB) that the cache and the logits of what one device samples at once may take; batches keep to it."""
    threads: int | None = Field(default=None, ge=1, le=4096, json_schema_extra=NOT_HASHED)
    """CPU threads; null leaves it to PyTorch."""

    @field_validator("data", mode="before")
    @classmethod
    def _data_by_name(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return recipes.part(sources.settings_class(value.get("name")), value)
        return value

    @model_validator(mode="after")
    def _responses_fit(self) -> LlmRecipe:
        scratch = self.model.scratch
        if scratch is not None and self.finetune.max_length > scratch.context:
            raise ValueError(
                f"finetune.max_length {self.finetune.max_length} is more than model.scratch.context {scratch.context}"
            )
        return self

    @property
    def stage_1(self) -> LlmStage1Recipe:
        """The recipe of fine-tuning alone: recipes that agree on its identity share its checkpoint."""
        changes = {
            "name": "shared-pretrain",
            "title": "fine-tuning, shared by the runs that begin with it",
            "posttrain": None,
        }
        return LlmStage1Recipe.model_construct(**(dict(self) | changes))

    @property
    def prefixes(self) -> list[LlmStage1Recipe]:
        """The recipes of what other stages build on, which other runs may share."""
        return [self.stage_1] if self.posttrain is not None else []

    @property
    def is_shared(self) -> bool:
        """Whether it is of what several runs begin with."""
        return self.name == "shared-pretrain"


class LlmStage1Recipe(LlmRecipe):
    """A recipe of fine-tuning: its identity leaves out how much is measured and how often a checkpoint is kept."""

    def identity(self) -> dict[str, Any]:
        """Keys and values that identify fine-tuning."""
        return _identity_of_finetuning(super().identity())


def _identity_of_finetuning(content: dict[str, Any]) -> dict[str, Any]:
    """What identifies fine-tuning among a recipe's keys and values.

    How much is measured and how often a checkpoint is kept is left out. At which steps and how it is measured stays:
    what was measured on the way cannot be measured again, as those weights are gone.
    """
    own = {key: value for key, value in content["finetune"].items() if key != "checkpoint_every"}
    return content | {
        "finetune": own,
        "evaluate": {key: content["evaluate"][key] for key in HOW & content["evaluate"].keys()},
    }


def load(source: str, overrides: list[str] | None = None, *, seed: int | None = None) -> LlmRecipe:
    """The recipe of a shipped name or a YAML file, with dotted overrides; ValueError in one line that names the key."""
    known = {**recipes.shipped(), **recipes.shipped("llm")}
    content = recipes.content_of(source, known, overrides, seed=seed, kinds=KINDS)
    if not recipes.is_llm(content):
        raise ValueError(f"{source} is a recipe for the small engine, it has no data: chainlift run {source}")
    return build(content)


def build(content: dict[str, Any]) -> LlmRecipe:
    """The recipe of nested keys and values; ValueError in one line that names the key and what is allowed."""
    return recipes.validated(LlmRecipe, content)
