"""The base of recipes: a name, a seed and an identity; YAML, dotted overrides and strict validation."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import types
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import Field, ValidationError

from chainlift import reading
from chainlift.overrides import Kind, Kinds, apply_overrides
from chainlift.references import Trust
from chainlift.settings import Settings, refuse_not_finite, suggest
from chainlift.visible import shown

UNION = ("constrained-", "literal[", "list[", "float", "function-")
"""First letters of the names that pydantic gives to the choices of a union, which are not keys."""

AnyRecipe = TypeVar("AnyRecipe", bound="BaseRecipe")


class BaseRecipe(Settings):
    """Name, title and seed of a recipe, and a digest of all its other keys."""

    name: str = Field(default="custom", pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=200)
    """First part of the run folder's name, which file systems limit to 255 bytes."""
    title: str = ""
    """One line that pages and tables show."""
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


class KeyedError(ValueError):
    """An error below a key of the part that is being validated."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class PartError(ValueError):
    """Wrong settings of a part that is chosen by name, with its class, which has the known keys."""

    def __init__(self, kind: type[Settings], error: ValidationError, key: str = "") -> None:
        super().__init__(str(error))
        self.kind, self.error, self.key = kind, error, key


AnyPart = TypeVar("AnyPart", bound=Settings)


def part(kind: type[AnyPart], content: dict[str, Any], trust: Trust | None = None, *, key: str = "") -> AnyPart:
    """Settings of a part whose class depends on its keys; PartError if they do not fit.

    key: that of the part, if it is one of several under a field.
    """
    try:
        return kind.model_validate(content, context=trust)
    except ValidationError as error:
        raise PartError(kind, error, key) from error


def shipped() -> dict[str, Path]:
    """{name: file} of the shipped recipes; a recipe that serves one claim is named as the claim."""
    chainlift = Path(str(resources.files("chainlift")))
    files = {path.stem: path for path in (chainlift / "recipes").glob("*.yaml")}
    files |= {path.parent.name.replace("_", "-"): path for path in (chainlift / "claims").glob("*/recipe.yaml")}
    return dict(sorted(files.items()))


def in_stages(content: dict[str, Any], overrides: list[str]) -> list[str]:
    """Put `stages.` before the overrides that begin with the name of a stage, of the recipe or new."""
    stages = content.get("stages")
    names = set(stages if isinstance(stages, dict) else ())
    names |= {re.split(r"[.=]", override)[1] for override in overrides if override.startswith("stages.")}
    in_stage = [re.split(r"[.=]", override, maxsplit=1)[0] in names for override in overrides]
    return [f"stages.{override}" if nested else override for override, nested in zip(overrides, in_stage, strict=True)]


def content_of(
    source: str,
    known: Mapping[str, Path],
    overrides: list[str] | None = None,
    *,
    seed: int | None = None,
    kinds: Kinds | None = None,
    stage_kind: Kind | None = None,
) -> dict[str, Any]:
    """Keys and values of a recipe that is `known` by name, or of a YAML file, with dotted overrides.

    kinds: classes of the parts in which an override may choose another class; stage_kind: the same of stages. Keys that
    the new class does not have are left out.
    """
    path = known.get(source, Path(source))
    if source not in known and path.suffix not in (".yaml", ".yml"):
        raise ValueError(
            f"no recipe {shown(source)}{suggest(source, known)}; known: {', '.join(known)}, or a .yaml file"
        )
    content = reading.yaml_mapping(path, verdict="is no recipe")
    content.setdefault("name", source if source in known else path.stem)
    stages = content.get("stages")
    if stage_kind is not None and isinstance(stages, dict):
        kinds = {**(kinds or {}), **{f"stages.{name}": stage_kind for name in stages}}
    content = apply_overrides(content, in_stages(content, overrides or []), kinds)
    if seed is not None:
        content["seed"] = seed
    return content


def validated(kind: type[AnyRecipe], content: dict[str, Any], trust: Trust | None = None) -> AnyRecipe:
    """Validate a recipe of one class; ValueError in one line that names the key and the allowed values."""
    try:
        refuse_not_finite(content)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("stages.")) from error
    try:
        return kind.model_validate(content, context=trust)
    except ValidationError as error:
        stages = content.get("stages")
        raise ValueError(_one_line(error, kind, stages=list(stages) if isinstance(stages, dict) else [])) from error


def part_alone(kind: type[AnyPart], content: dict[str, Any], key: str) -> AnyPart:
    """Settings of a part without the rest of a recipe; ValueError in one line that names the key below `key`."""
    try:
        return part(kind, content)
    except PartError as error:
        raise ValueError(_one_line(error.error, kind, key)) from error


def _one_line(error: ValidationError, kind: type[Settings], above: str = "", stages: Sequence[str] = ()) -> str:
    """The first problem of a validation error in one line: its key (under `above`) and the nearest known key of `kind`.

    stages: names of stages, which may begin an override too.
    """
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    parts = [part for part in map(str, first["loc"]) if not part.startswith(UNION)]
    inside = [cause.key] if isinstance(cause, KeyedError | PartError) and cause.key else []
    full = ".".join([above, *parts, *inside] if above else [*parts, *inside]) or "recipe"
    if isinstance(cause, PartError):
        return _one_line(cause.error, cause.kind, full)
    where = full.removeprefix("stages.")
    if first["type"] == "extra_forbidden":
        known = [*_fields_at(kind, parts[:-1]), *(stages if len(parts) == 1 else ())]
        return f"{where}: unknown key{suggest(parts[-1], known)}; allowed: {', '.join(known)}"
    message = str(cause) if cause is not None else first["msg"]
    if isinstance(first["input"], dict) or isinstance(cause, KeyedError):
        return f"{where}: {message}"
    return f"{where}: {message} (got {shown(first['input'])})"


def _fields_at(settings: type[Settings], path: list[str]) -> list[str]:
    """The keys allowed at a dotted path."""
    for part in path:
        if part not in settings.model_fields:
            return []
        annotation = settings.model_fields[part].annotation
        options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
        settings = next((o for o in options if isinstance(o, type) and issubclass(o, Settings)), settings)
    return list(settings.model_fields)
