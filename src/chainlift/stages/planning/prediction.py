"""What theory predicts for a recipe's measurements; None for each quantity that has no closed form there."""

from __future__ import annotations

from typing import Any

from chainlift.models import families
from chainlift.stages import chain
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.kinds.trl_sft import SupervisedFinetuning
from chainlift.stages.recipe import Recipe
from chainlift.tasks.multiplication import MultiplicationSettings
from chainlift.tasks.permutation import PermutationSettings
from chainlift.tasks.prefix_chain import PrefixChainSettings
from chainlift.tasks.running_sum import RunningSumSettings
from chainlift.theory import closed_forms, forecast, linear_model, noisy_chain

OF_RL = ("star_next_share", "star_rounds_to_flip", "rl")
"""Predictions that depend on RL's temperature and reward; evaluations sample at temperature 1."""
PREDICTED = ("greedy_accuracy", "greedy_length_median", "sampled_accuracy", "sampled_long_share")
GROUP_SIZES = {3: 6, 5: 120}
"""Elements of the permutations of n things."""


def predicted(recipe: Recipe) -> dict[str, Any]:
    """The predictions for a blind learner of the recipe's mixture, under the names of forecast.predictions.

    They are of next-token prediction from fresh weights and of the RL that begins where it ends; `stages` says which
    stages of the recipe these are, with their own predictions. Of a schedule the last value counts, as the minimizer of
    the loss is that of the last demonstrations.
    """
    if recipe.is_text:
        return _of_text(recipe)
    learner = _learner(recipe)
    if learner is None:
        return _unknown() | {"stages": {}}
    name, first = learner
    rl_name, rl = _rl_after(recipe, name)
    found = _of(recipe, first, recipe.mixture_of(name).last, rl)
    stages = {name: {key: found.get(key) for key in (*PREDICTED, "go_on")}}
    if rl_name is not None:
        stages[rl_name] = found["rl"]
    return found | {"stages": stages}


def _of_text(recipe: Recipe) -> dict[str, Any]:
    """Predictions for a language model, of the stage that fine-tunes the recipe's own model.

    Both forms open differently, so the form is chosen at the first token (docs/theory.md, "A marker"): greedy answers
    are short below p_cot = 1/2, and up to 1/(1 + q) where the long form opens with its likeliest word q of the time.
    Accuracies depend on what the model knows, before RL and after it; calibration does not.
    """
    threshold, tuned = closed_forms.threshold(2, marker=True), recipe.first(SupervisedFinetuning)
    stages: dict[str, dict[str, Any]] = {name: {} for name in recipe.stages}
    if tuned is None or tuned[1].start is not None:
        return _unknown() | {"threshold": threshold, "stages": stages}
    p = recipe.mixture_of(tuned[0]).last
    stages[tuned[0]] = {"sampled_long_share": p}
    short = {"greedy": "short", "greedy_long_share": 0.0} if p < threshold else {}
    return _unknown() | {"threshold": threshold, "sampled_long_share": p, "stages": stages} | short


def _learner(recipe: Recipe) -> tuple[str, NextTokenPrediction] | None:
    """The stage of next-token prediction that begins with fresh weights."""
    found = recipe.first(NextTokenPrediction)
    return found if found is not None and found[1].start is None else None


def _rl_after(recipe: Recipe, name: str) -> tuple[str | None, ReinforcementLearning | None]:
    """The first RL that begins at the end of a stage."""
    for other, stage in recipe.stages.items():
        if isinstance(stage, ReinforcementLearning) and chain.split(stage.start, recipe.stages) == (name, None):
            return other, stage
    return None, None


def _of(recipe: Recipe, first: NextTokenPrediction, p_cot: float, rl: ReinforcementLearning | None) -> dict[str, Any]:
    """The predictions; the sequence mean weights long demonstrations by their length, so its minimizer is that of
    another p_cot.
    """
    task, learner = recipe.task, families.family_of(recipe.model).theory(recipe.model)
    if learner is None:
        return _unknown()
    if isinstance(task, MultiplicationSettings) and first.loss_weighting != "sequence_mean":
        return _unknown() | {
            "sampled_long_share": p_cot,
            "threshold": closed_forms.threshold(2, marker=True) if task.marker == "both" else None,
        }
    if not isinstance(task, PrefixChainSettings):
        return _unknown()
    modulus = task.modulus if isinstance(task, RunningSumSettings) else _order(task)
    if first.loss_weighting == "sequence_mean":
        if not task.is_plain:
            return _unknown()
        p_cot = closed_forms.sequence_mean_p_cot(task.d, p_cot)
    if learner == "blind_to_the_stop":
        found = linear_model.degree_1_predictions(task.d, modulus, p_cot)
        known = rl is None or rl.reward in closed_forms.LONG_REWARDS
        return found if known else found | {key: _unknown().get(key) for key in OF_RL}
    if task.noise > 0:
        return _noisy(task, modulus, p_cot, rl)
    found = _of_gold_chains(task, modulus, p_cot, rl)
    if task.d_min is not None:  # lengths differ from prompt to prompt
        found["greedy_length_median"] = found["greedy_length_median"] if found["greedy"] == "short" else None
        found["rl"]["greedy_length_median"] = None
    return found


def _of_gold_chains(
    task: PrefixChainSettings, modulus: int, p_cot: float, rl: ReinforcementLearning | None
) -> dict[str, Any]:
    """Predictions where chains are right; which digits they show changes their length only."""
    marker = task.marker == "both"
    predictions = forecast.predictions(task.chain_length, modulus, p_cot, marker=marker)
    if rl is not None:
        sampling: dict[str, Any] = {"marker": marker, "reward": rl.reward}
        of_rl = forecast.predictions(task.chain_length, modulus, p_cot, rl.temperature, **sampling)
        predictions |= {key: of_rl[key] for key in OF_RL}
    if task.marker != "long":
        return predictions
    # The marker opens long responses only. At temperature 1 it leads every short answer iff p > (1 - p) / K, the
    # threshold without a marker; what follows it is certain, and the token is one more.
    predictions["go_on"] = 1.0
    longer = [predictions, predictions["rl"]] if predictions["greedy"] == "long" else [predictions["rl"]]
    for table in longer:
        if table["greedy_length_median"] is not None:
            table["greedy_length_median"] += 1
    if rl is not None and rl.temperature != 1:
        predictions |= {"star_next_share": None, "star_rounds_to_flip": None}
    return predictions


def _noisy(task: PrefixChainSettings, modulus: int, p_cot: float, rl: ReinforcementLearning | None) -> dict[str, Any]:
    """Predictions for chains with slips; they are made for slips that chains build on, and no other option."""
    plain = task.model_copy(update={"noise": 0.0}).is_plain
    if not (plain and task.noise_follows) or (rl is not None and rl.temperature != 1):
        return _unknown()
    return noisy_chain.predictions(task.chain_length, modulus, p_cot, task.noise, rl and rl.reward)


def _order(task: PrefixChainSettings) -> int:
    """Number of elements of the task's group."""
    assert isinstance(task, PermutationSettings)
    return GROUP_SIZES[task.degree]


def _unknown() -> dict[str, Any]:
    unknown = dict.fromkeys(PREDICTED)
    return unknown | {"threshold": None, "greedy": None, "rl": dict(unknown)}
