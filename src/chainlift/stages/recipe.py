"""The recipe: all settings that decide the results of a run."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, TypeVar

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from chainlift.measure.evaluate import EvaluateSettings
from chainlift.models import families
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.overrides import apply_overrides
from chainlift.reading import StrPath
from chainlift.references import Trust
from chainlift.runs import trackers as trackers
from chainlift.runs.shapes import Summary
from chainlift.runs.trackers import TrackerName
from chainlift.settings import NOT_HASHED, Settings
from chainlift.stages import inputs, kind_registry, starts
from chainlift.stages.base_recipe import (
    BaseRecipe,
    KeyedError,
    content_of,
    in_stages,
    part,
    shipped,
    validated,
)
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.stages.stage import Stage
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import has_chains
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSumSettings
from chainlift.text.task import is_text

AnyStage = TypeVar("AnyStage", bound=Stage)


class Recipe(BaseRecipe):
    """All settings that decide the results of a run."""

    task: SerializeAsAny[Settings] = RunningSumSettings()
    """The task; `task.name` chooses it, and the other keys are its settings."""
    mixture: MixtureSettings = MixtureSettings()
    """Share of long demonstrations in every stage that does not set `mixture`."""
    model: SerializeAsAny[Settings] = ModelSettings()
    """The model; `model.family` chooses it, and the other keys are its settings."""
    stages: dict[str, SerializeAsAny[Stage]] = Field(default={"pretrain": NextTokenPrediction()}, min_length=1)
    """Names and settings of the stages, in order; `kind` chooses a stage's class, and null leaves a stage out."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """Number and frequency of measurements."""
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", json_schema_extra=NOT_HASHED)
    """Where tensors live; auto: a CUDA GPU if there is one, else the CPU."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast of the matrix products."""
    compile: bool = Field(default=False)
    """Fuse the small operations of the MLPs by torch.compile: for GPUs; needs a C++ compiler and half a minute more."""
    threads: int | None = Field(default=None, ge=1, le=4096)
    """CPU threads; null leaves it to PyTorch. Bits of results depend on it."""
    track: TrackerName | None = Field(default=None, json_schema_extra=NOT_HASHED)
    """Mirror metrics to trackio, wandb or tensorboard, beside the run folder's record."""

    @field_validator("track", mode="before")
    @classmethod
    def _tracker_is_there(cls, value: Any) -> Any:
        if value is not None:
            trackers.check(str(value))
        return value

    @field_validator("task", mode="before")
    @classmethod
    def _task_by_name(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, dict):
            return part(tasks.settings_class(value.get("name", "running_sum"), info.context), value, info.context)
        return value

    @field_validator("model", mode="before")
    @classmethod
    def _model_by_family(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, dict):
            return part(families.settings_class(value, info.context), value, info.context)
        if not isinstance(value, Settings):
            raise ValueError("must hold keys and values")
        return value

    @field_validator("stages", mode="before")
    @classmethod
    def _stages_by_kind(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            raise ValueError("must hold the stages' names, each with its keys and values")
        stages = {}
        reserved = {*cls.model_fields, *Summary.model_fields, "seeds"}
        for name, content in starts.with_inherited(value, reserved).items():
            try:
                kind = kind_registry.find(content.get("kind"), info.context)
            except ValueError as error:
                raise KeyedError(f"{name}.kind", str(error)) from error
            stages[name] = part(kind, content, info.context, key=name)
        return stages

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Recipe:
        starts.check(self.stages)
        return self

    @model_validator(mode="after")
    def _model_fits_task(self) -> Recipe:
        task = tasks.make(self.task)
        try:
            families.check(self.model, task)
        except ValueError as error:
            raise KeyedError("model", str(error)) from error
        for name, stage in self.stages.items():
            try:
                stage.check(self, task)
            except ValueError as error:
                raise KeyedError(name, str(error)) from error
        if any(self.mixture_of(name).largest > 0 for name in self.stages) and not has_chains(task):
            raise ValueError("mixture.p_cot must be 0, as this task has no long demonstrations (task.chain is null)")
        return self

    def identity(self) -> dict[str, Any]:
        """Keys and values that identify the run, the stages with their order."""
        return super().identity() | {"order": list(self.stages)}

    def setting(self, key: str) -> Any:
        """The value of a dotted key, which may begin with a stage's name."""
        name, _, rest = key.partition(".")
        node = self.stages[name] if name in self.stages else getattr(self, name)
        for attribute in filter(None, rest.split(".")):
            node = getattr(node, attribute)
        return node

    def mixture_of(self, name: str) -> MixtureSettings:
        """The mixture of a stage: its own, or the recipe's."""
        return self.stages[name].mixture or self.mixture

    def first(self, kind: type[AnyStage]) -> tuple[str, AnyStage] | None:
        """(name, settings) of the first stage of a kind; None if there is none."""
        return next(((name, stage) for name, stage in self.stages.items() if isinstance(stage, kind)), None)

    def prefix(self, name: str) -> Recipe:
        """The recipe of a stage and the stages that it builds on, without the others."""
        needed = starts.needed_for(self.stages, name)
        stages = {other: starts.keeping(self.stages, other) for other in self.stages if other in needed}
        changes = {
            "name": f"shared-{name.replace('_', '-')}",
            "title": "stages that several runs share",
            "stages": stages,
        }
        return Recipe.model_construct(**(dict(self) | changes))

    @property
    def is_text(self) -> bool:
        """Whether the task is a text task, for language models."""
        return is_text(self.task)

    @property
    def by_trl(self) -> bool:
        """Whether stages of TRL train the model, one of transformers."""
        return isinstance(self.model, PretrainedSettings)

    @property
    def prefixes(self) -> list[Recipe]:
        """Recipes of the stages that other stages build on, shortest first: other runs may share them."""
        prefixes = [self.prefix(name) for name in starts.built_on(self.stages)]
        return [prefix for prefix in prefixes if len(prefix.stages) < len(self.stages)]

    def stage_digest(self, name: str) -> str:
        """Eight hexadecimal digits of all that decides a stage's weights: runs with the same digest share the stage."""
        content = json.dumps(self.stage_identity(name), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def stage_identity(self, name: str) -> dict[str, Any]:
        """Keys and values that decide a stage's weights; its start is represented by a digest."""
        stage, whole = self.stages[name], self.identity()
        settings = {key: value for key, value in whole["stages"][name].items() if key not in starts.REFERENCES}
        start, step = starts.split(stage.start, self.stages)
        if start in self.stages:
            begins: Any = [self.stage_digest(start), step]
        else:
            begins = None if start is None else inputs.start_digest(start, f"{name}.start")
        matched = getattr(stage, "match_tokens", None)
        files = {"data_files": inputs.data_digest(self.task), "model_files": inputs.model_digest(self.model)}
        return {
            **{key: digest for key, digest in files.items() if digest is not None},
            "name": name,
            "settings": settings,
            "mixture": self.mixture_of(name).identity(),
            "start": begins,
            "match_tokens": None if matched is None else self.stage_digest(matched),
            **{key: whole[key] for key in ("seed", "dtype", "compile", "threads")},
            **{key: _without(whole[key], stage.measuring_keys(key, getattr(self, key))) for key in ("task", "model")},
        }


def _without(content: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in keys}


def load(
    source: StrPath, overrides: list[str] | None = None, *, seed: int | None = None, trust: bool = False
) -> Recipe:
    """The recipe of a shipped name or a YAML file, with dotted overrides; ValueError in one line that names the key."""
    source_trust = Trust.of(str(source), overrides, trust)
    content = content_of(
        str(source),
        shipped(),
        overrides,
        seed=seed,
        kinds={
            "task": lambda task: tasks.settings_class(task.get("name", "running_sum"), source_trust),
            "model": lambda model: families.settings_class(model, source_trust),
        },
        stage_kind=lambda stage: kind_registry.find(stage.get("kind"), source_trust),
    )
    return build(content, source_trust)


def build(content: dict[str, Any], trust: Trust | None = None) -> Recipe:
    """The recipe of nested keys and values; ValueError in one line that names the key.

    trust: in the file that they are from; None if the user gave them.
    """
    return validated(Recipe, content, trust)


def override(recipe: Recipe, overrides: list[str]) -> Recipe:
    """The recipe with dotted overrides; ValueError in one line that names the key and what is allowed."""
    content = recipe.model_dump()
    content["stages"] = starts.without_inherited(content["stages"])
    return build(apply_overrides(content, in_stages(content, overrides)))
