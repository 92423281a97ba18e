"""The strict base of every part's settings: an unknown key or a wrong type is an error, never ignored."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen settings of one part of a recipe; fields are documented under themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
