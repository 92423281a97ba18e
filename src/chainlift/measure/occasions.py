"""Evaluation settings that affect the measurement at the end of a stage; runs that share it may differ in others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def at_the_end(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation settings that affect the measurement at the end of a stage."""
    ignored = {"during", "every", "every_rounds"}
    if not settings["pass_at_k_prompts"]:
        ignored.add("pass_at_k_samples")
    return {key: value for key, value in settings.items() if key not in ignored}
