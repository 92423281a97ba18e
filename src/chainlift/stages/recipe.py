"""A recipe: everything that decides what a run computes, put together from the parts' own settings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from chainlift.measure.evaluate import EvaluateSettings
from chainlift.models import checksums, families
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.overrides import apply_overrides
from chainlift.reading import StrPath
from chainlift.references import Trust
from chainlift.runs import track as trackers
from chainlift.runs.shapes import Summary
from chainlift.runs.track import TrackerName
from chainlift.settings import NOT_HASHED, Settings
from chainlift.stages import chain, kind_registry
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

BESIDE_WEIGHTS = ("config.json", "tokenizer.json", "tokenizer_config.json")
"""What of a folder decides, beside its weights, what a model from it computes."""

AnyStage = TypeVar("AnyStage", bound=Stage)


class Recipe(BaseRecipe):
    """What a run computes."""

    task: SerializeAsAny[Settings] = RunningSumSettings()
    """What is learned; `task.name` chooses, its other keys belong to that task."""
    mixture: MixtureSettings = MixtureSettings()
    """Share of long demonstrations, of every stage that does not set its own."""
    model: SerializeAsAny[Settings] = ModelSettings()
    """Who learns; `model.family` chooses, its other keys belong to that family."""
    stages: dict[str, SerializeAsAny[Stage]] = Field(default={"pretrain": NextTokenPrediction()}, min_length=1)
    """How, in order: name and settings of each stage, whose `kind` chooses; null leaves a stage out."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """What is measured, and how often."""
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", json_schema_extra=NOT_HASHED)
    """Where tensors live; auto: a CUDA GPU if there is one, else the CPU."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast of the matrix products."""
    compile: bool = Field(default=False)
    """Fuses the small operations of the MLPs by torch.compile: for GPUs; needs a C++ compiler, half a minute more."""
    threads: int | None = Field(default=None, ge=1, le=4096)
    """CPU threads; null leaves it to PyTorch. Bits of results depend on it."""
    track: TrackerName | None = Field(default=None, json_schema_extra=NOT_HASHED)
    """Mirrors metrics to trackio, wandb or tensorboard; the run folder's record is kept in any case."""

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
        for name, content in chain.filled(value, reserved={*cls.model_fields, *Summary.model_fields, "seeds"}).items():
            try:
                kind = kind_registry.find(content.get("kind"), info.context)
            except ValueError as error:
                raise KeyedError(f"{name}.kind", str(error)) from error
            stages[name] = part(kind, content, info.context, key=name)
        return stages

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Recipe:
        chain.check(self.stages)
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
        """The recipe of a stage and those that it builds on, without the others."""
        needed = chain.needed_for(self.stages, name)
        stages = {one: chain.keeping(self.stages, one) for one in self.stages if one in needed}
        changes = {
            "name": f"shared-{name.replace('_', '-')}",
            "title": "stages that several runs share",
            "stages": stages,
        }
        return Recipe.model_construct(**(dict(self) | changes))

    @property
    def is_text(self) -> bool:
        """Whether the task is one of text, which language models learn."""
        return is_text(self.task)

    @property
    def prefixes(self) -> list[Recipe]:
        """The recipes of what other stages of this one build on, shortest first: other runs may share them."""
        found = [self.prefix(name) for name in chain.built_on(self.stages)]
        return [one for one in found if len(one.stages) < len(self.stages)]

    def stage_digest(self, name: str) -> str:
        """Eight hexadecimal digits of all that decides a stage's weights: runs that agree on it share the stage."""
        content = json.dumps(self.stage_identity(name), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def stage_identity(self, name: str) -> dict[str, Any]:
        """Keys and values that decide a stage's weights, its start by that one's digest."""
        stage, whole = self.stages[name], self.identity()
        settings = {key: value for key, value in whole["stages"][name].items() if key not in chain.REFERS}
        start, step = chain.split(stage.start, self.stages)
        if start in self.stages:
            begins: Any = [self.stage_digest(start), step]
        else:
            begins = None if start is None else _weights_digest(start, f"{name}.start")
        matched = getattr(stage, "match_tokens", None)
        return {
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


def _weights_digest(folder: str, key: str) -> str:
    """The digest of a folder's weights; ValueError that names the key if they are missing."""
    files = [file for file in sorted(Path(folder).glob("*.safetensors")) if file.name.startswith("model")]
    if not files:
        raise ValueError(f"{key}: {folder} is no checkpoint: it has no model.safetensors")
    files += [file for name in BESIDE_WEIGHTS if (file := Path(folder) / name).is_file()]
    return hashlib.sha256("".join(checksums.sha256(file) for file in files).encode()).hexdigest()


def load(
    source: StrPath, overrides: list[str] | None = None, *, seed: int | None = None, trust: bool = False
) -> Recipe:
    """The recipe of a shipped name or a YAML file, with dotted overrides; ValueError in one line that names the key."""
    said = Trust.of(str(source), overrides, trust)
    content = content_of(
        str(source),
        shipped(),
        overrides,
        seed=seed,
        kinds={
            "task": lambda task: tasks.settings_class(task.get("name", "running_sum"), said),
            "model": lambda model: families.settings_class(model, said),
        },
        stage_kind=lambda stage: kind_registry.find(stage.get("kind"), said),
    )
    return build(content, said)


def build(content: dict[str, Any], trust: Trust | None = None) -> Recipe:
    """The recipe of nested keys and values; ValueError in one line that names the key. trust: None for own words."""
    return validated(Recipe, content, trust)


def override(recipe: Recipe, overrides: list[str]) -> Recipe:
    """The recipe with dotted overrides; ValueError in one line that names the key and what is allowed."""
    content = recipe.model_dump()
    content["stages"] = chain.unfilled(content["stages"])
    return build(apply_overrides(content, in_stages(content, overrides)))
