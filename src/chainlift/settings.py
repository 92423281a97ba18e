"""Strict base class of all settings: an unknown key or a wrong type is an error."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer
from pydantic.config import JsonDict

NOT_HASHED: JsonDict = {"not_hashed": True}
"""For `Field(json_schema_extra=NOT_HASHED)`: a field that does not change what is computed, so it does not enter the
digest of a run or a stage."""

ONLY_MEASURES: JsonDict = {"only_measures": True}
"""For a task's field that affects measurements and not training: runs that differ only in it share stages."""


class Settings(BaseModel):
    """Frozen settings of one section of a recipe, with finite numbers; a docstring below each field documents it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def identity(self) -> dict[str, Any]:
        """The fields that decide what is computed: all but those marked NOT_HASHED."""
        return self.model_dump(context={"identity": True})

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        content = handler(self)
        if info.context is not None and info.context.get("identity"):
            for name, field in type(self).model_fields.items():
                if field.json_schema_extra == NOT_HASHED:
                    content.pop(name, None)
        return content


def refuse_not_finite(content: Any, path: str = "") -> None:
    """Raise a ValueError that names the key if nested content holds a number that is not finite.

    For content of any type; typed settings check their own fields.
    """
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        refuse_not_finite(value, f"{path}.{key}" if path else str(key))
    if isinstance(content, float) and not math.isfinite(content):
        raise ValueError(f"{path}: must be a finite number (got {content})")


def suggest(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` with the known word nearest to an unknown one; empty if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
