"""A recipe: everything that decides what a run computes, put together from the parts' own settings.

Read from YAML, overridden by dotted `key=value`, validated once and strictly, and hashed: the hash and the seed are a
run's identity.
"""

from __future__ import annotations

import functools
import hashlib
import json
import types
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator, model_validator

from chainlift import reading
from chainlift.learning import reward as rewards
from chainlift.learning.next_token import ContinuedSettings, PretrainSettings
from chainlift.learning.policy_update import PosttrainSettings
from chainlift.measure import occasions
from chainlift.measure.evaluate import EvaluateSettings
from chainlift.models import families
from chainlift.models.blocks import ModelSettings
from chainlift.overrides import Kinds, overridden
from chainlift.reading import StrPath
from chainlift.references import Trust
from chainlift.runs import track as trackers
from chainlift.runs.track import TrackerName
from chainlift.settings import ASIDE, LATER, Settings, refuse_not_finite, suggest
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import has_chains
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSumSettings
from chainlift.visible import shown

AnyRecipe = TypeVar("AnyRecipe", bound="Named")


class Named(Settings):
    """What every recipe has: a name, a seed, and an identity made from all the rest."""

    name: str = Field(default="custom", pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=200)
    """Stands in the run folder's name, which file systems allow 255 bytes."""
    title: str = ""
    """One line for people."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Root of all random streams."""

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits of everything but name, title and seed."""
        content = {key: value for key, value in self.identity().items() if key not in ("name", "title", "seed")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def setting(self, key: str) -> Any:
        """The value of a dotted key."""
        return functools.reduce(getattr, key.split("."), self)

    @property
    def run_id(self) -> str:
        """The run folder's name: `<recipe>-<digest>-s<seed>`."""
        return f"{self.name}-{self.digest}-s{self.seed}"


class Recipe(Named):
    """What a run computes."""

    task: SerializeAsAny[Settings] = RunningSumSettings()
    """What is learned; `task.name` chooses, its other keys belong to that task."""
    mixture: MixtureSettings = MixtureSettings()
    """Share of long demonstrations."""
    model: SerializeAsAny[Settings] = ModelSettings()
    """Who learns; `model.family` chooses, its other keys belong to that family."""
    pretrain: PretrainSettings = PretrainSettings()
    """Stage 1, next-token prediction."""
    posttrain: PosttrainSettings | None = None
    """Stage 2, reinforcement learning; null leaves it out."""
    continued_pretrain: ContinuedSettings | None = None
    """The baseline: next-token prediction goes on instead of RL; null leaves it out."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """What is measured, and how often."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where tensors live; auto: a CUDA GPU if there is one, else the CPU."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast of the matrix products."""
    compile: bool = Field(default=False, json_schema_extra=LATER)
    """Fuses the small operations of the MLPs by torch.compile: for GPUs; needs a C++ compiler, half a minute more."""
    threads: int | None = Field(default=None, ge=1, le=4096)
    """CPU threads; null leaves it to PyTorch. Bits of results depend on it."""
    track: TrackerName | None = Field(default=None, json_schema_extra=ASIDE)
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

    @model_validator(mode="after")
    def _model_fits_task(self) -> Recipe:
        task = tasks.build(self.task)
        families.check(self.model, task)
        if "muon" in (self.pretrain.optimizer, getattr(self.posttrain, "optimizer", "")):
            families.check_muon(self.model, task)
        if self.posttrain is not None:
            rewards.check(self.posttrain.reward, task)
        if self.mixture.p_cot > 0 and not has_chains(task):
            raise ValueError("mixture.p_cot must be 0, as this task has no long demonstrations (task.chain is null)")
        return self

    @model_validator(mode="after")
    def _baseline_has_rl(self) -> Recipe:
        if self.continued_pretrain is not None and self.posttrain is None:
            raise ValueError("continued_pretrain matches the tokens of posttrain, which is null")
        return self

    @property
    def stage_1(self) -> Stage1Recipe:
        """The recipe of stage 1 alone: recipes that agree on its identity share its checkpoint."""
        changes = {"name": "pretrain", "title": "stage 1, shared", "posttrain": None, "continued_pretrain": None}
        return Stage1Recipe.model_construct(**(dict(self) | changes))


class Stage1Recipe(Recipe):
    """A recipe of stage 1: its identity leaves out how much is measured and how often a checkpoint is kept."""

    def identity(self) -> dict[str, Any]:
        """Keys and values that identify stage 1."""
        return occasions.identity_of_stage_1(super().identity(), "pretrain")


class _PartError(ValueError):
    """The settings of a part that is chosen by name are wrong; which class they were read into tells the known keys."""

    def __init__(self, kind: type[Settings], error: ValidationError) -> None:
        super().__init__(str(error))
        self.kind, self.error = kind, error


def part(kind: type[Settings], content: dict[str, Any], trust: Trust | None = None) -> Settings:
    """The settings of a part whose class depends on its keys; _PartError if they do not fit."""
    try:
        return kind.model_validate(content, context=trust)
    except ValidationError as error:
        raise _PartError(kind, error) from error


def shipped(kind: str = "") -> dict[str, Path]:
    """Name and file of each shipped recipe; kind `llm`: of those for language models."""
    folder = Path(str(resources.files("chainlift"))) / "recipes" / kind
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load(
    source: StrPath, overrides: list[str] | None = None, *, seed: int | None = None, trust: bool = False
) -> Recipe:
    """The recipe of a shipped name or a YAML file, with dotted overrides; ValueError in one line that names the key."""
    said = Trust.of(str(source), overrides, trust)
    kinds: Kinds = {
        "task": lambda task: tasks.settings_class(task.get("name", "running_sum"), said),
        "model": lambda model: families.settings_class(model, said),
    }
    content = content_of(str(source), {**shipped(), **shipped("llm")}, overrides, seed=seed, kinds=kinds)
    if is_llm(content):
        raise ValueError(f"{source} is a recipe for language models: chainlift llm posttrain {source}")
    return build(content, said)


def is_llm(content: dict[str, Any]) -> bool:
    """Whether keys and values are meant for a language model, which has data, while a small engine has a task."""
    return "data" in content and "task" not in content


def content_of(
    source: str,
    known: Mapping[str, Path],
    overrides: list[str] | None = None,
    *,
    seed: int | None = None,
    kinds: Kinds | None = None,
) -> dict[str, Any]:
    """Keys and values of a recipe that is `known` by name, or of a YAML file, with dotted overrides.

    kinds: of parts in which an override may choose another class; keys that are foreign to it are left out.
    """
    path = known.get(source, Path(source))
    if source not in known and path.suffix not in (".yaml", ".yml"):
        raise ValueError(
            f"no recipe {shown(source)}{suggest(source, known)}; known: {', '.join(known)}, or a .yaml file"
        )
    content = reading.yaml_mapping(path, verdict="is no recipe")
    content.setdefault("name", path.stem)
    content = overridden(content, overrides, kinds)
    if seed is not None:
        content["seed"] = seed
    return content


def build(content: dict[str, Any], trust: Trust | None = None) -> Recipe:
    """The recipe of nested keys and values; ValueError in one line that names the key. trust: None for own words."""
    return validated(Recipe, content, trust)


def validated(kind: type[AnyRecipe], content: dict[str, Any], trust: Trust | None = None) -> AnyRecipe:
    """A recipe of one kind; ValueError in one line that names the key and what is allowed."""
    refuse_not_finite(content)
    try:
        return kind.model_validate(content, context=trust)
    except ValidationError as error:
        raise ValueError(_one_line(error, kind)) from error


def override(recipe: Recipe, overrides: list[str]) -> Recipe:
    """The recipe with dotted overrides; ValueError in one line that names the key and what is allowed."""
    return build(overridden(recipe.model_dump(), overrides))


def _one_line(error: ValidationError, kind: type[Settings], above: str = "") -> str:
    """The first complaint of a validation error: where (under `above`), what, and the nearest known key of `kind`."""
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"]]
    where = ".".join([above, *parts] if above else parts) or "recipe"
    if first["type"] == "extra_forbidden":
        known = _fields_at(kind, parts[:-1])
        return f"{where}: unknown key{suggest(parts[-1], known)}; allowed: {', '.join(known)}"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, _PartError):
        return _one_line(cause.error, cause.kind, where)
    message = str(cause) if cause is not None else first["msg"]
    return (
        f"{where}: {message} (got {shown(first['input'])})"
        if not isinstance(first["input"], dict)
        else f"{where}: {message}"
    )


def _fields_at(settings: type[Settings], path: list[str]) -> list[str]:
    """The keys allowed at a dotted place."""
    for part in path:
        if part not in settings.model_fields:
            return []
        annotation = settings.model_fields[part].annotation
        options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
        settings = next((o for o in options if isinstance(o, type) and issubclass(o, Settings)), settings)
    return list(settings.model_fields)
