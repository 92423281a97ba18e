"""Theory's predictions of a recipe's measurements; None for quantities without a closed form."""

from __future__ import annotations

from typing import Any

from chainlift.models import families
from chainlift.stages import starts
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.kinds.trl_sft import SupervisedFinetuning
from chainlift.stages.recipe import Recipe
from chainlift.tasks.multiplication import MultiplicationSettings
from chainlift.tasks.permutation import PermutationSettings
from chainlift.tasks.prefix_chain import PrefixChainSettings
from chainlift.tasks.running_sum import RunningSumSettings
from chainlift.text.task import is_text
from chainlift.theory import closed_forms, forecast, linear_model, noisy_chain

OF_RL = ("star_next_share", "star_rounds_to_flip", "rl")
"""Predictions that depend on RL's temperature and reward; evaluations sample at temperature 1."""
PREDICTED = ("greedy_accuracy", "greedy_length_median", "sampled_accuracy", "sampled_long_share")
GROUP_SIZES = {3: 6, 5: 120}
"""{degree: order of the task's permutation group}."""


def predicted(recipe: Recipe) -> dict[str, Any]:
    """Predictions for a blind learner of the recipe's mixture, under the names of forecast.predictions.

    They cover next-token prediction from fresh weights and the RL that starts from its end; `stages` has the
    predictions of each stage by name. Of a schedule the last value counts, as the minimizer of the loss is that of the
    last demonstrations.
    """
    if recipe.is_text:
        return _of_text(recipe)
    learner = _learner(recipe)
    if learner is None:
        return _unknown() | {"stages": {}}
    name, first = learner
    rl_name, rl = _rl_after(recipe, name)
    predictions = _predictions(recipe, first, recipe.mixture_of(name).last, rl)
    stages = {name: {key: predictions.get(key) for key in (*PREDICTED, "go_on")}}
    if rl_name is not None:
        stages[rl_name] = predictions["rl"]
    return predictions | {"stages": stages}


def _of_text(recipe: Recipe) -> dict[str, Any]:
    """Predictions for a language model, for the stage that fine-tunes the recipe's own model.

    The two forms have different first tokens, so the first token decides the form (docs/theory.md, "A marker"): greedy
    answers are short below p_cot = 1/(1 + q), where q is the mass of the likeliest first token of the long form. It is
    known with a marker on long forms; otherwise the threshold is at least the 1/2 of q = 1. Accuracies depend on the
    model's knowledge, before and after RL; calibration does not. The sequence mean counts a long demonstration for less
    than its share where the form is chosen, by a factor that depends on the problems' lengths: nothing is predicted.
    """
    assert is_text(recipe.task)
    kind = SupervisedFinetuning if recipe.by_trl else NextTokenPrediction
    threshold, tuned = closed_forms.critical_share(recipe.task.template.opening_mass or 1.0), recipe.first(kind)
    stages: dict[str, dict[str, Any]] = {name: {} for name in recipe.stages}
    if tuned is None or tuned[1].start is not None:
        return _unknown() | {"threshold": threshold, "stages": stages}
    if getattr(tuned[1], "loss_weighting", "token_mean") == "sequence_mean":
        return _unknown() | {"stages": stages}
    p = recipe.mixture_of(tuned[0]).last
    stages[tuned[0]] = {"sampled_long_share": p}
    short = {"greedy": "short", "greedy_long_share": 0.0} if p < threshold else {}
    return _unknown() | {"threshold": threshold, "sampled_long_share": p, "stages": stages} | short


def _learner(recipe: Recipe) -> tuple[str, NextTokenPrediction] | None:
    """(name, settings) of the stage of next-token prediction that starts from fresh weights."""
    first = recipe.first(NextTokenPrediction)
    return first if first is not None and first[1].start is None else None


def _rl_after(recipe: Recipe, name: str) -> tuple[str | None, ReinforcementLearning | None]:
    """(name, settings) of the first RL that starts from the end of a stage."""
    for other, stage in recipe.stages.items():
        if isinstance(stage, ReinforcementLearning) and starts.split(stage.start, recipe.stages) == (name, None):
            return other, stage
    return None, None


def _predictions(
    recipe: Recipe, first: NextTokenPrediction, p_cot: float, rl: ReinforcementLearning | None
) -> dict[str, Any]:
    """Predictions for a symbolic task.

    The sequence mean weights long demonstrations by their length, so its minimizer is that of another p_cot.
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
        predictions = linear_model.degree_1_predictions(task.d, modulus, p_cot)
        known = rl is None or rl.reward in closed_forms.LONG_REWARDS
        return predictions if known else predictions | {key: _unknown().get(key) for key in OF_RL}
    if task.noise > 0:
        return _noisy(task, modulus, p_cot, rl)
    predictions = _of_gold_chains(task, modulus, p_cot, rl)
    if task.d_min is not None:  # lengths differ from prompt to prompt
        if predictions["greedy"] != "short":
            predictions["greedy_length_median"] = None
        predictions["rl"]["greedy_length_median"] = None
    return predictions


def _of_gold_chains(
    task: PrefixChainSettings, modulus: int, p_cot: float, rl: ReinforcementLearning | None
) -> dict[str, Any]:
    """Predictions for correct chains; the digits that they show change only their length."""
    marker = task.marker == "both"
    predictions = forecast.predictions(task.chain_length, modulus, p_cot, marker=marker)
    if rl is not None:
        sampling: dict[str, Any] = {"marker": marker, "reward": rl.reward}
        of_rl = forecast.predictions(task.chain_length, modulus, p_cot, rl.temperature, **sampling)
        predictions |= {key: of_rl[key] for key in OF_RL}
    if task.marker != "long":
        return predictions
    # Only long responses start with the marker. At temperature 1 it is likelier than every short answer iff
    # p > (1 - p) / K, the threshold without a marker. After it the form is certain; it adds one token.
    predictions["go_on"] = 1.0
    longer = [predictions, predictions["rl"]] if predictions["greedy"] == "long" else [predictions["rl"]]
    for table in longer:
        if table["greedy_length_median"] is not None:
            table["greedy_length_median"] += 1
    if rl is not None and rl.temperature != 1:
        predictions |= {"star_next_share": None, "star_rounds_to_flip": None}
    return predictions


def _noisy(task: PrefixChainSettings, modulus: int, p_cot: float, rl: ReinforcementLearning | None) -> dict[str, Any]:
    """Predictions for chains with slips; only for slips that chains build on, without other options."""
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
