"""The recipes of the check: as they are, and tiny."""

from __future__ import annotations

from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe

TINY = [
    "task.d=5",
    "model.layers=2",
    "model.width=16",
    "model.heads=2",
    "pretrain.steps=4",
    "pretrain.warmup=0",
    "pretrain.batch_size=8",
    "posttrain.prompts=4",
    "posttrain.group_size=2",
    "posttrain.steps=2",
    "evaluate.prompts=16",
    "evaluate.during=8",
    "evaluate.pass_at_k_prompts=2",
]
LARGER = ["model.layers=8", "model.width=512", "model.heads=8", "task.d=200"]  # 25 million parameters


def headline(*changes: str, tiny: bool) -> Recipe:
    """The headline's recipe, or one of its shape."""
    return recipes.load("headline", [*(TINY if tiny else []), *changes])


def larger() -> Recipe:
    """The headline's with 25 million parameters and longer prompts."""
    return headline(*LARGER, tiny=False)
