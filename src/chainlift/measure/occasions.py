"""Which settings of measurement decide what is measured at a stage's end; runs that share it may differ in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def at_the_end(content: Mapping[str, Any]) -> dict[str, Any]:
    """Of keys and values that say how a run measures, those that decide what is measured at a stage's end."""
    left = {"during", "every", "every_rounds"}
    if not content["pass_at_k_prompts"]:
        left.add("pass_at_k_samples")
    return {key: value for key, value in content.items() if key not in left}
