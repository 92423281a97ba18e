"""Reference curves for a run's RL: STaR's p_n by rounds, or an algorithm's mean-field curve by updates.

They are computed once, when the run ends, and drawn from its summary. They start where theory predicts that next-token
prediction ends, not where this run ended, and use no measurement of RL. The horizontal scale of policy gradients is a
convention (theory/mean_field.py): REFERENCE_STEP log-odds an update at the recipe's peak learning rate, in proportion
to the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chainlift.learning.presets import Objective, preset
from chainlift.references import is_reference
from chainlift.stages.recipe import Recipe
from chainlift.theory.closed_forms import LONG_REWARDS
from chainlift.theory.expected_update import has_expected_update
from chainlift.theory.mean_field import REFERENCE_STEP, MeanField, policy_gradient_curve, star_curve
from chainlift.theory.mode_policy import ModePolicy, Setting

# The reference covers only these values: a recipe with another value has none.
PLAIN: dict[str, Any] = {
    "ntp_weight": 0.0,
    "advantage": None,
    "ratio": None,
    "clip": None,
    "clip_low": None,
    "clip_high": None,
    "aggregate": None,
    "decision_weight": None,
    "kl": 0.0,
    "length_penalty": 0.0,
    "dynamic_sampling": False,
    "minibatches": 1,
    "restart": False,
}
PLAIN_TASK = {"d_min": None, "sparse": None, "leap": 1, "noise": 0, "marker": "none"}
MAX_POINTS = 240
"""Approximate number of points of the curves in a summary."""
# STaR's fit has the same minimum from every start, and for every constant weight of the tokens.
ALSO_STAR: dict[str, Any] = {"restart": True, "aggregate": "sequence_sum"}


def reference(recipe: Recipe, theory: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The reference for a summary's theory; None if it describes no stage of the recipe.

    {stage, name, by_round, sequences, sampled_long_share, sampled_accuracy, greedy_accuracy}: the stage of RL, the name
    of the curves, whether they have one value a round instead of an update, and their values at the numbers of sampled
    responses in `sequences`. theory: from prediction.predicted. rows: those of metrics.jsonl.
    """
    stage = next((name for name in theory["stages"] if "algorithm" in type(recipe.stages[name]).model_fields), None)
    updates = [row for row in rows if row["stage"] == stage and row["kind"] == "update"]
    if stage is None or not updates:
        return None
    settings = recipe.stages[stage].model_dump()
    task, model = recipe.task.model_dump(), recipe.model.model_dump()
    if not _is_covered(task, model, settings) or theory.get("sampled_long_share") is None:
        return None
    setting = Setting(
        modulus=task["modulus"], d=task["d"], reward=settings["reward"], temperature=settings["temperature"]
    )
    start = ModePolicy.after_pretraining(theory["sampled_long_share"], setting)
    ends = {row["round"] if _is_star(settings) else row["step"]: row["sequences"] for row in updates}
    curve, name = _curve(start, setting, settings, updates)
    every = -(-len(ends) // MAX_POINTS)
    return {"stage": stage, "name": name, "by_round": name == STAR} | {
        key: _thinned(values, every)
        for key, values in {
            "sequences": [0, *ends.values()],
            "sampled_long_share": curve.long_share,
            "sampled_accuracy": curve.accuracy,
            "greedy_accuracy": curve.greedy_accuracy,
        }.items()
    }


def _thinned(values: list[Any], every: int) -> list[Any]:
    """Every n-th value, and the last."""
    return values[::every] if (len(values) - 1) % every == 0 else [*values[::every], values[-1]]


STAR = "reference: STaR that fits each round exactly"


def _curve(
    start: ModePolicy, setting: Setting, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> tuple[MeanField, str]:
    """(curve over the rounds of STaR or the updates of a policy gradient, its name)."""
    if _is_star(settings):
        return star_curve(start, setting, rows[-1]["round"]), STAR
    objective = _objective(settings)
    assert objective is not None
    peak = max(settings["lr"], 1e-300)
    curve = policy_gradient_curve(
        start,
        setting,
        objective,
        [REFERENCE_STEP * row["lr"] / peak for row in rows],
        group_size=settings["group_size"],
        prompts=settings["prompts"],
        steps_per_round=settings.get("steps_per_round") or objective.steps_per_round,
    )
    return curve, f"reference: no noise, {REFERENCE_STEP:g} log-odds an update at the peak rate"


def _is_covered(task: Mapping[str, Any], model: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether theory/mean_field.py describes the task, model and algorithm."""
    objective = _objective(settings)
    needed = {"algorithm", "reward", "temperature", "lr", "group_size", "prompts"}
    return (
        task["name"] == "running_sum"
        and {"modulus", "d"} <= set(task)
        and all(task.get(key, value) == value for key, value in PLAIN_TASK.items())
        and model.get("stop_degree") != 1
        and needed <= set(settings)
        and settings["reward"] in LONG_REWARDS
        and objective is not None
        and (_is_star(settings) or has_expected_update(objective))
        and all(settings.get(key, value) == value or _harmless(settings, key) for key, value in PLAIN.items())
    )


def _is_star(settings: Mapping[str, Any]) -> bool:
    """Whether the algorithm fits accepted samples, so that the reference has one step a round."""
    objective = _objective(settings)
    return objective is not None and objective.advantage == "accept"


def _objective(settings: Mapping[str, Any]) -> Objective | None:
    """The run's algorithm; None if it is unknown, or code that only the record names, which is not imported."""
    name = settings.get("algorithm")
    if not isinstance(name, str) or is_reference(name):
        return None
    try:
        return preset(name)
    except ValueError:
        return None


def _harmless(settings: Mapping[str, Any], key: str) -> bool:
    return _is_star(settings) and key in ALSO_STAR and settings[key] == ALSO_STAR[key]
