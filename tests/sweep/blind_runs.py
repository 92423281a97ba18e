"""Finished runs as theory would have them, made up for testing the checks of claims: nothing is trained."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chainlift.recipe import Recipe
from chainlift.stages.prediction import predicted
from chainlift.sweep.grid import Finished
from chainlift.theory import closed_forms, noisy_chain

Change = Callable[[Recipe, dict[str, Any]], None]


def blind(recipes: list[Recipe], change: Change = lambda recipe, summary: None) -> list[Finished]:
    """A run of each recipe that measured exactly what is predicted; `change` may spoil its summary."""
    found = []
    for recipe in recipes:
        summary = _summary(recipe)
        change(recipe, summary)
        found.append(Finished(recipe, summary, Path()))
    return found


def _summary(recipe: Recipe) -> dict[str, Any]:
    told, p = predicted(recipe), recipe.mixture.p_cot
    modulus, marker = getattr(recipe.task, "modulus", 2), getattr(recipe.task, "marker", "none")
    noise, length = getattr(recipe.task, "noise", 0.0), getattr(recipe.task, "d", 10)
    odds = closed_forms.log_odds(p)
    before = _stage(told["greedy"] == "long", told["greedy_length_median"], p, modulus)
    before["sampled_chain_exactness"] = noisy_chain.chain_accuracy(length, noise)
    before["decision_go_on_log_odds"] = odds + math.log(modulus)
    before["decision_first_lead_log_odds"] = odds if marker == "both" else odds + math.log(modulus)
    share = told.get("star_next_share")
    if recipe.posttrain is None or recipe.posttrain.algorithm != "star":
        share = 1.0 if p > 0 else 0.0
    after = _stage(p > 0, told["posttrain"]["greedy_length_median"] if p > 0 else 1, share, modulus)
    after["sampled_chain_exactness"] = 1.0
    return {"pretrain": before, "posttrain": after, "theory": told}


def _stage(long: bool, length: float | None, share: float | None, modulus: int) -> dict[str, Any]:
    return {
        "greedy_accuracy": 1.0 if long else 1 / modulus,
        "greedy_length_median": length,
        "greedy_long_share": float(long),
        "greedy_chain_exactness": 1.0 if long else None,
        "sampled_long_share": share,
    }
