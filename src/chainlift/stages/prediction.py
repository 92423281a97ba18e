"""What theory predicts for a recipe's measurements; None for each quantity that has no closed form there."""

from __future__ import annotations

from typing import Any

from chainlift.models import families
from chainlift.recipe import Recipe
from chainlift.tasks.multiplication import MultiplicationSettings
from chainlift.tasks.permutation import PermutationSettings
from chainlift.tasks.prefix_chain import PrefixChainSettings
from chainlift.tasks.running_sum import RunningSumSettings
from chainlift.theory import closed_forms, forecast, linear_model, noisy_chain

OF_RL = ("star_next_share", "star_rounds_to_flip", "posttrain")
"""Predictions that depend on RL's temperature and reward; evaluations sample at temperature 1."""
PREDICTED = ("greedy_accuracy", "greedy_length_median", "sampled_accuracy", "sampled_long_share")
GROUP_SIZES = {3: 6, 5: 120}
"""Elements of the permutations of n things."""


def predicted(recipe: Recipe) -> dict[str, Any]:
    """The predictions for a blind learner of the recipe's mixture, under the names of forecast.predictions.

    The sequence mean weights long demonstrations by their length, so its minimiser is that of another p_cot.
    """
    task, p_cot = recipe.task, recipe.mixture.p_cot
    learner = families.family_of(recipe.model).theory(recipe.model)
    if learner is None:
        return _unknown()
    if isinstance(task, MultiplicationSettings) and recipe.pretrain.loss_weighting != "sequence_mean":
        return _unknown() | {
            "sampled_long_share": p_cot,
            "threshold": closed_forms.threshold(2, marker=True) if task.marker == "both" else None,
        }
    if not isinstance(task, PrefixChainSettings):
        return _unknown()
    modulus = task.modulus if isinstance(task, RunningSumSettings) else _order(task)
    if recipe.pretrain.loss_weighting == "sequence_mean":
        if not task.is_plain:
            return _unknown()
        p_cot = closed_forms.sequence_mean_p_cot(task.d, p_cot)
    if learner == "blind_to_the_stop":
        told = linear_model.degree_1_predictions(task.d, modulus, p_cot)
        known = recipe.posttrain is None or recipe.posttrain.reward in closed_forms.LONG_REWARDS
        return told if known else told | {key: _unknown().get(key) for key in OF_RL}
    if task.noise > 0:
        return _noisy(recipe, task, modulus)
    told = _of_gold_chains(recipe, task, modulus, p_cot)
    if task.d_min is not None:  # lengths differ from prompt to prompt
        told["greedy_length_median"] = told["greedy_length_median"] if told["greedy"] == "short" else None
        told["posttrain"]["greedy_length_median"] = None
    return told


def _of_gold_chains(recipe: Recipe, task: PrefixChainSettings, modulus: int, p_cot: float) -> dict[str, Any]:
    """Predictions where chains are right; which digits they show changes their length only."""
    marker = task.marker == "both"
    told = forecast.predictions(task.chain_length, modulus, p_cot, marker=marker)
    if recipe.posttrain is not None:
        settings = recipe.posttrain
        sampling: dict[str, Any] = {"marker": marker, "reward": settings.reward}
        rl = forecast.predictions(task.chain_length, modulus, p_cot, settings.temperature, **sampling)
        told |= {key: rl[key] for key in OF_RL}
    if task.marker != "long":
        return told
    # The marker opens long responses only. At temperature 1 it leads every short answer iff p > (1 - p) / K, the
    # threshold without a marker; what follows it is certain, and the token is one more.
    told["go_on"] = 1.0
    longer = [told, told["posttrain"]] if told["greedy"] == "long" else [told["posttrain"]]
    for table in longer:
        if table["greedy_length_median"] is not None:
            table["greedy_length_median"] += 1
    if recipe.posttrain is not None and recipe.posttrain.temperature != 1:
        told |= {"star_next_share": None, "star_rounds_to_flip": None}
    return told


def _noisy(recipe: Recipe, task: PrefixChainSettings, modulus: int) -> dict[str, Any]:
    """Predictions for chains with slips; they are made for slips that chains build on, and no other option."""
    plain = task.model_copy(update={"noise": 0.0}).is_plain
    rl = recipe.posttrain
    if not (plain and task.noise_follows) or (rl is not None and rl.temperature != 1):
        return _unknown()
    return noisy_chain.predictions(task.chain_length, modulus, recipe.mixture.p_cot, task.noise, rl and rl.reward)


def _order(task: PrefixChainSettings) -> int:
    """Number of elements of the task's group."""
    assert isinstance(task, PermutationSettings)
    return GROUP_SIZES[task.degree]


def _unknown() -> dict[str, Any]:
    unknown = dict.fromkeys(PREDICTED)
    return unknown | {"threshold": None, "greedy": None, "posttrain": dict(unknown)}
