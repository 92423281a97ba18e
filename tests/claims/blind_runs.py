"""Finished runs as theory would have them, made up for testing the checks of claims: nothing is trained."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chainlift.claims.finished import Finished
from chainlift.runs import stage_views
from chainlift.stages.planning.prediction import predicted
from chainlift.stages.recipe import Recipe
from chainlift.theory import closed_forms, noisy_chain

Change = Callable[[Recipe, dict[str, Any]], None]


def blind(recipes: Sequence[Recipe], change: Change = lambda recipe, summary: None) -> list[Finished]:
    """A run of each recipe that measured exactly what is predicted; `change` may spoil its summary."""
    found = []
    for recipe in recipes:
        assert isinstance(recipe, Recipe)
        summary = _summary(recipe)
        change(recipe, summary)
        found.append(Blind(recipe, summary, Path()))
    return found


class Blind(Finished):
    """A run whose evaluations are its summary's: in stage 1 at the end, in RL the summary of before, then of after."""

    def evaluations(self, stage: str) -> list[dict[str, Any]]:
        """Rows as a run records them."""
        if stage == "pretrain":
            return [_row("pretrain", self.recipe.setting("pretrain.steps"), self.summary["pretrain"])]
        steps = (0, 20, self.recipe.setting("posttrain.steps"))
        stages = ("pretrain", "posttrain", "posttrain")
        return [_row("posttrain", at, self.summary[one]) for at, one in zip(steps, stages, strict=True)]


def _row(stage: str, step: int, summary: dict[str, Any]) -> dict[str, Any]:
    modes = {}
    for mode in ("greedy", "sampled"):
        own = {key.removeprefix(f"{mode}_"): value for key, value in summary.items() if key.startswith(mode)}
        share, length = own["long_share"] or 0.0, max(int(own["length_mean"]), 2)
        modes[mode] = own | {"length_histogram": {"1": 1000 - round(1000 * share), str(length): round(1000 * share)}}
    decision = {key.removeprefix("decision_"): value for key, value in summary.items() if key.startswith("decision")}
    return {"stage": stage, "step": step, "sequences": 256 * step, **modes, "decision": decision}


def _summary(recipe: Recipe) -> dict[str, Any]:
    told, p = predicted(recipe), recipe.mixture.last
    modulus, marker = getattr(recipe.task, "modulus", 2), getattr(recipe.task, "marker", "none")
    noise, length = getattr(recipe.task, "noise", 0.0), getattr(recipe.task, "d", 10)
    odds = closed_forms.log_odds(p)
    before = _stage(told["greedy"] == "long", told["greedy_length_median"], p, modulus)
    before["sampled_chain_exactness"] = noisy_chain.chain_accuracy(length, noise)
    before["decision_go_on_log_odds"] = odds + math.log(modulus)
    before["decision_first_lead_log_odds"] = odds if marker == "both" else odds + math.log(modulus)
    share = told.get("star_next_share")
    if "posttrain" not in recipe.stages or recipe.setting("posttrain.algorithm") != "star":
        share = 1.0 if p > 0 else 0.0
    after = _stage(p > 0, told["rl"]["greedy_length_median"] if p > 0 else 1, share, modulus)
    after["sampled_chain_exactness"] = 1.0
    sequences = recipe.setting("pretrain.steps") * recipe.setting("pretrain.batch_size")
    before |= {"sequences": sequences, "seconds": 1.0}
    after |= {"rollouts": 1024, "seconds": 1.0}
    measured = {"pretrain": before, "posttrain": after, "continued_pretrain": before}
    stages = stage_views.for_summary(recipe.model_dump())
    return {"stages": stages, "theory": told, **measured}


def _stage(long: bool, length: float | None, share: float | None, modulus: int) -> dict[str, Any]:
    return {
        "greedy_accuracy": 1.0 if long else 1 / modulus,
        "greedy_length_median": length,
        "greedy_long_share": float(long),
        "greedy_chain_exactness": 1.0 if long else None,
        "sampled_long_share": share,
        "sampled_accuracy": (share or 0.0) + (1 - (share or 0.0)) / modulus,
        "greedy_length_mean": length,
        "sampled_length_mean": length,
        "decision_first": 1 / modulus,
        "decision_go_on": share,
        "decision_go_on_elsewhere": share,
    }
