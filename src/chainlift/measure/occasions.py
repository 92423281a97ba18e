"""Which settings of measurement decide what is measured at a stage's end; runs that share it may differ in them."""

from __future__ import annotations

from typing import Any

from chainlift.settings import Settings


def at_the_end(settings: Settings) -> dict[str, Any]:
    """The settings that decide what is measured at a stage's end."""
    content = settings.model_dump()
    left = {"during", "every", "every_rounds"}
    if not content["pass_at_k_prompts"]:
        left.add("pass_at_k_samples")
    return {key: value for key, value in content.items() if key not in left}
