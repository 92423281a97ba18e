"""Which of a recipe's stages a benchmark measures."""

from __future__ import annotations

from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.recipe import Recipe


def next_token_stage(recipe: Recipe) -> tuple[str, NextTokenPrediction]:
    """(name, settings) of the recipe's first next-token prediction; ValueError if it has none."""
    found = recipe.first(NextTokenPrediction)
    if found is None or found[1].total_steps is None:
        raise ValueError(f"stages: {recipe.name} has no next-token prediction to measure")
    return found


def rl_stage(recipe: Recipe) -> tuple[str, ReinforcementLearning]:
    """(name, settings) of the recipe's first RL; ValueError if it has none."""
    found = recipe.first(ReinforcementLearning)
    if found is None:
        raise ValueError(f"stages: {recipe.name} has no RL; --only stage1 measures it without")
    return found
