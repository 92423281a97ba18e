"""The reference that a summary holds: made from theory and the schedule alone, and only where it applies."""

from typing import Any

import pytest

from chainlift.learning.presets import PRESETS
from chainlift.stages import recipe as recipes
from chainlift.stages.planning.prediction import predicted
from chainlift.stages.planning.reference import MAX_POINTS, PLAIN, reference
from chainlift.theory import star
from chainlift.theory.mean_field import REFERENCE_STEP, policy_gradient_curve
from chainlift.theory.mode_policy import ModePolicy, Setting

SETTINGS = {"algorithm": "grpo", "lr": "2e-4", "group_size": "4", "prompts": "16", "steps_per_round": "1"}


def rows(updates: int, per_round: int) -> list[dict[str, Any]]:
    """Updates on record, of which the first three have the peak rate."""
    return [
        {
            "stage": "posttrain",
            "kind": "update",
            "step": step,
            "round": (step - 1) // per_round + 1,
            "sequences": 64 * ((step - 1) // per_round + 1),
            "lr": 2e-4 if step <= 3 else 1e-4,
        }
        for step in range(1, updates + 1)
    ]


def found(updates: int = 6, per_round: int = 1, *, changes: tuple[str, ...] = (), **posttrain: str) -> Any:
    """The reference of a small run with some settings of RL."""
    settings = SETTINGS | {"steps_per_round": str(per_round)} | posttrain
    recipe = recipes.load("tiny", [*(f"posttrain.{key}={value}" for key, value in settings.items()), *changes])
    return reference(recipe, predicted(recipe), rows(updates, per_round))


def test_a_policy_gradient_follows_the_schedule_at_the_stated_step() -> None:
    curve = found()
    assert curve is not None
    setting = Setting(d=8)
    steps = [REFERENCE_STEP] * 3 + [REFERENCE_STEP / 2] * 3
    start = ModePolicy.after_pretraining(0.25, setting)
    expected = policy_gradient_curve(start, setting, PRESETS["grpo"], steps, group_size=4, prompts=16)
    assert curve["stage"] == "posttrain"
    assert curve["sampled_long_share"] == expected.long_share
    assert curve["sampled_accuracy"] == expected.accuracy
    assert curve["greedy_accuracy"] == expected.greedy_accuracy
    assert curve["sequences"] == [0, 64, 128, 192, 256, 320, 384]
    assert not curve["by_round"]
    assert "0.1 log-odds" in curve["name"]


def test_star_goes_by_rounds() -> None:
    curve = found(12, 4, algorithm="star", group_size="1", restart="true")
    assert curve["by_round"]
    assert curve["sequences"] == [0, 64, 128, 192]
    assert curve["sampled_long_share"] == pytest.approx([star.star_share_after(0.25, n, 2) for n in range(4)])


DEPARTURES = {
    "advantage": "none",
    "ratio": "none",
    "clip": "none",
    "clip_low": "0.1",
    "clip_high": "0.3",
    "aggregate": "token_mean",
    "decision_weight": "0.5",
    "kl": "0.1",
    "length_penalty": "0.1",
    "dynamic_sampling": "true",
    "minibatches": "2",
    "restart": "true",
    "ntp_weight": "0.1",
}


@pytest.mark.parametrize("key", DEPARTURES)
def test_a_recipe_that_the_reference_does_not_describe_has_none(key: str) -> None:
    assert found() is not None
    assert found(changes=(f"posttrain.{key}={DEPARTURES[key]}",)) is None


def test_every_departure_is_tried() -> None:
    assert set(DEPARTURES) == set(PLAIN)


def test_temperature_reward_and_rounds_reach_the_curve() -> None:
    curve = found(6, 3, temperature="1.5", reward="chain", algorithm="dr_grpo")
    setting = Setting(d=8, temperature=1.5, reward="chain")
    steps = [REFERENCE_STEP] * 3 + [REFERENCE_STEP / 2] * 3
    start = ModePolicy.after_pretraining(0.25, setting)
    expected = policy_gradient_curve(
        start, setting, PRESETS["dr_grpo"], steps, group_size=4, prompts=16, steps_per_round=3
    )
    assert curve["sampled_long_share"] == expected.long_share
    plain = policy_gradient_curve(start, Setting(d=8), PRESETS["dr_grpo"], steps, group_size=4, prompts=16)
    assert curve["sampled_long_share"] != plain.long_share


def test_of_long_runs_the_summary_keeps_a_few_hundred_places_and_the_last() -> None:
    curve, whole = found(5 * MAX_POINTS + 3), rows(5 * MAX_POINTS + 3, 1)
    assert MAX_POINTS * 0.7 < len(curve["sequences"]) <= MAX_POINTS + 2
    assert len(curve["sampled_accuracy"]) == len(curve["sequences"])
    assert curve["sequences"][0] == 0
    assert curve["sequences"][-1] == whole[-1]["sequences"]


@pytest.mark.parametrize(
    "change",
    [
        "task.leap=2", "task.noise=0.01", "task={name: multiplication, n: 1}", "task={name: permutation, d: 4}",
        "posttrain.start=pretrain@100",
    ],
)  # fmt: skip
def test_other_tasks_and_stages_have_none(change: str) -> None:
    assert found(changes=(change,)) is None


def test_weights_of_the_tokens_that_theory_has_a_part_for_keep_the_reference() -> None:
    assert found(changes=("pretrain.loss_weighting=sequence_mean",)) is not None


@pytest.mark.parametrize("degree", [1, 2])
def test_a_linear_model_that_is_blind_to_the_stop_has_none(degree: int) -> None:
    adamw = ("pretrain.optimizer=adamw", "posttrain.optimizer=adamw", "continued_pretrain=null")
    changes = (f"model={{family: linear, stop_degree: {degree}}}", *adamw)
    assert (found(changes=changes) is not None) == (degree == 2)


@pytest.mark.parametrize("algorithm", ["new", "numpy:nothing"])
def test_an_algorithm_that_is_not_known_or_is_code_has_none(algorithm: str) -> None:
    recipe = recipes.load("tiny", [f"posttrain.{key}={value}" for key, value in SETTINGS.items()])
    theory = predicted(recipe)
    assert reference(recipe, theory, rows(6, 1)) is not None
    changed = recipe.stages["posttrain"].model_copy(update={"algorithm": algorithm})
    other = recipe.model_copy(update={"stages": {**recipe.stages, "posttrain": changed}})
    assert reference(other, theory, rows(6, 1)) is None


def test_a_run_without_updates_of_rl_has_none() -> None:
    recipe = recipes.load("tiny")
    assert reference(recipe, predicted(recipe), []) is None
    alone = recipe.prefix("pretrain")
    assert reference(alone, predicted(alone), rows(3, 1)) is None
