"""The strict base of every part's settings: an unknown key or a wrong type is an error, never ignored."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer
from pydantic.config import JsonDict

NOT_HASHED: JsonDict = {"not_hashed": True}
"""For `Field(json_schema_extra=NOT_HASHED)`: a field that does not change what is computed, and so does not enter
the digest of a run or a stage."""

ONLY_MEASURES: JsonDict = {"only_measures": True}
"""For a field of a task that decides what is measured and nothing that is learned: stages whose runs differ in it are
shared."""


class Settings(BaseModel):
    """Frozen settings of one part of a recipe, every number finite; fields are documented under themselves."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def identity(self) -> dict[str, Any]:
        """Keys and values that identify what is computed: all but NOT_HASHED fields."""
        return self.model_dump(context={"identity": True})

    @model_serializer(mode="wrap")
    def _serialise(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        content = handler(self)
        if info.context is not None and info.context.get("identity"):
            for name, field in type(self).model_fields.items():
                if field.json_schema_extra == NOT_HASHED:
                    content.pop(name, None)
        return content


def refuse_not_finite(content: Any, above: str = "") -> None:
    """ValueError that names the key, if nested keys and values hold a number that is not finite.

    Typed settings refuse it themselves; some parts hold values of any kind.
    """
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        refuse_not_finite(value, f"{above}.{key}" if above else str(key))
    if isinstance(content, float) and not math.isfinite(content):
        raise ValueError(f"{above}: must be a finite number (got {content})")


def suggest(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the known word nearest to one that is not; empty where none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
