"""The reference that a run's RL is drawn against: STaR's p_n by rounds, or an algorithm's mean-field curve by updates.

It starts where theory says that stage 1 ends, not where this run ended, and knows nothing of what RL measured. Its
horizontal scale for policy gradients is a convention (theory/mean_field.py): REFERENCE_STEP log-odds an update at the
recipe's peak learning rate, less in proportion where the schedule has less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chainlift.learning.presets import Objective, preset
from chainlift.references import is_reference
from chainlift.report.record import Record
from chainlift.runs.course import StageView
from chainlift.theory.closed_forms import LONG_REWARDS
from chainlift.theory.expected_update import has_expected_update
from chainlift.theory.mean_field import REFERENCE_STEP, MeanField, policy_gradient_curve, star_curve
from chainlift.theory.mode_policy import ModePolicy, Setting

# What the reference has no part for: where a recipe sets one of these to anything else, none is drawn.
PLAIN: dict[str, Any] = {
    "ntp_weight": 0.0,
    "advantage": None,
    "ratio": None,
    "clip": None,
    "clip_low": None,
    "clip_high": None,
    "aggregate": None,
    "kl": 0.0,
    "length_penalty": 0.0,
    "dynamic_sampling": False,
    "minibatches": 1,
    "restart": False,
}
PLAIN_TASK = {"d_min": None, "sparse": None, "leap": 1, "noise": 0, "marker": "none"}
# STaR's fit, taken to its minimum, is the same wherever it begins, and for every constant weight of the tokens.
STAR_TOO: dict[str, Any] = {"restart": True, "aggregate": "sequence_sum"}


@dataclass(frozen=True)
class Reference:
    """One quantity of one mode over sampled responses."""

    stage: str
    """The stage of RL."""
    name: str
    mode: str
    quantity: str
    sequences: list[int]
    values: list[float]
    by_round: bool
    """One value a round, not one an update."""


def references(record: Record) -> list[Reference]:
    """The curves of long share and accuracy; [] for tasks, models and recipes that they are not made for, and for runs
    that are unfinished.
    """
    stage = _stage(record)
    rows = record.of(stage.name, "update") if stage is not None else []
    if stage is None or not rows or not _is_covered(record, stage.settings):
        return []
    settings, task = stage.settings, record.recipe["task"]
    setting = Setting(
        modulus=task["modulus"], d=task["d"], reward=settings["reward"], temperature=settings["temperature"]
    )
    assert record.summary is not None
    start = ModePolicy.after_pretraining(record.summary["theory"]["sampled_long_share"], setting)
    ends = {row["round"] if _is_star(settings) else row["step"]: row["sequences"] for row in rows}
    curve, name = _curve(start, setting, settings, rows)
    sequences = [0, *ends.values()]
    found = [("sampled", "long_share", curve.long_share), ("sampled", "accuracy", curve.accuracy)]
    found.append(("greedy", "accuracy", curve.greedy_accuracy))
    return [
        Reference(stage.name, name, mode, quantity, sequences, values, name == STAR) for mode, quantity, values in found
    ]


def _stage(record: Record) -> StageView | None:
    """The stage of RL that theory has predictions for."""
    known = {} if record.summary is None else record.summary["theory"]["stages"]
    return next((stage for stage in record.stages if stage.name in known and "algorithm" in stage.settings), None)


STAR = "reference: STaR that fits each round exactly"


def _curve(
    start: ModePolicy, setting: Setting, settings: Mapping[str, Any], rows: list[dict[str, Any]]
) -> tuple[MeanField, str]:
    """(curve over the rounds of STaR, or over the updates of a policy gradient, its name)."""
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


def _is_covered(record: Record, settings: Mapping[str, Any]) -> bool:
    """The run is a finished one of a running sum by a learner and an algorithm that theory/mean_field.py describes."""
    recipe, objective = record.recipe, _objective(settings)
    needed = {"algorithm", "reward", "temperature", "lr", "group_size", "prompts"}
    return (
        record.summary is not None
        and recipe.get("task", {}).get("name") == "running_sum"
        and {"modulus", "d"} <= set(recipe["task"])
        and all(recipe["task"].get(key, value) == value for key, value in PLAIN_TASK.items())
        and recipe.get("model", {}).get("stop_degree") != 1
        and needed <= set(settings)
        and settings["reward"] in LONG_REWARDS
        and objective is not None
        and (_is_star(settings) or has_expected_update(objective))
        and all(settings.get(key, value) == value or _harmless(settings, key) for key, value in PLAIN.items())
        and record.summary["theory"].get("sampled_long_share") is not None
    )


def _is_star(settings: Mapping[str, Any]) -> bool:
    """The algorithm fits what it accepts, so that it has one step a round."""
    objective = _objective(settings)
    return objective is not None and objective.advantage == "accept"


def _objective(settings: Mapping[str, Any]) -> Objective | None:
    """The run's algorithm; None for one that is code named by the record, which nothing here imports, or not known."""
    name = settings.get("algorithm")
    if not isinstance(name, str) or is_reference(name):
        return None
    try:
        return preset(name)
    except ValueError:
        return None


def _harmless(settings: Mapping[str, Any], key: str) -> bool:
    return _is_star(settings) and key in STAR_TOO and settings[key] == STAR_TOO[key]
