"""Which of an engine's settings of measurement are a part of stage 1, and which belong to the run that asks.

Both engines' settings have `every`, `every_rounds`, `during` and `pass_at_k_*`; the rest differs.
"""

from __future__ import annotations

from typing import Any

from chainlift.settings import Settings

HOW = {"every", "max_tokens", "temperature"}
"""Settings that decide what the measurements on the way are."""


def identity_of_stage_1(content: dict[str, Any], stage: str) -> dict[str, Any]:
    """What identifies stage 1 among a recipe's keys and values; `stage` is the key of its own part.

    How much is measured and how often a checkpoint is kept is left out. At which steps and how it is measured stays:
    what was measured on the way cannot be measured again, as those weights are gone.
    """
    own = {key: value for key, value in content[stage].items() if key != "checkpoint_every"}
    return content | {
        stage: own,
        "evaluate": {key: content["evaluate"][key] for key in HOW & content["evaluate"].keys()},
    }


def at_the_end(settings: Settings) -> dict[str, Any]:
    """The settings that decide what is measured at a stage's end."""
    content = settings.model_dump()
    left = {"during", "every", "every_rounds"}
    if not content["pass_at_k_prompts"]:
        left.add("pass_at_k_samples")
    return {key: value for key, value in content.items() if key not in left}
