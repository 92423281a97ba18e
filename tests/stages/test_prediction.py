"""Predictions for each task and option: the right closed forms where there are any, nothing where there are none."""

from typing import Any

import pytest

from chainlift.stages import recipe
from chainlift.stages.planning.prediction import PREDICTED, predicted
from chainlift.theory import closed_forms, noisy_chain


def told(*overrides: str, source: str = "tiny") -> dict[str, Any]:
    return predicted(recipe.load(source, list(overrides)))


def test_options_that_change_the_length_only() -> None:
    plain = told()
    for override, length in (("task.leap=3", 3), ("task.sparse=5", 5), ("task.order=right_to_left", 8)):
        found = told(override, "mixture.p_cot=.4")
        assert found["greedy_length_median"] == length
        assert found["threshold"] == plain["threshold"]
        assert found["rl"]["greedy_length_median"] == length


def test_lengths_that_differ_have_no_median() -> None:
    assert told("task.d_min=4")["greedy_length_median"] == 1
    found = told("task.d_min=4", "mixture.p_cot=.4")
    assert found["greedy_length_median"] is None
    assert found["greedy_accuracy"] == 1.0
    assert found["rl"]["greedy_length_median"] is None


def test_markers() -> None:
    both, long = (told(f"task.marker={name}", "mixture.p_cot=.4") for name in ("both", "long"))
    assert (both["threshold"], both["greedy"], both["greedy_length_median"]) == (0.5, "short", 2)
    assert both["rl"]["greedy_length_median"] == 9
    assert (long["threshold"], long["greedy"], long["greedy_length_median"]) == (pytest.approx(1 / 3), "long", 9)
    assert long["rl"]["greedy_length_median"] == 9
    below = told("task.marker=long", "mixture.p_cot=.2")
    assert (below["greedy_length_median"], below["rl"]["greedy_length_median"]) == (1, 9)
    warm = told("task.marker=long", "posttrain.temperature=1.5")
    assert warm["star_next_share"] is None


def test_noise() -> None:
    found = told("task.noise=.05", "posttrain.reward=chain")
    assert found["threshold"] == noisy_chain.threshold(2, 0.05)
    assert found["star_next_share"] == noisy_chain.star_next_share(0.25, 8, 2, 0.05, "chain")
    for unknown in ("task.noise_follows=false", "task.leap=2", "posttrain.temperature=1.5"):
        assert told("task.noise=.05", unknown)["sampled_accuracy"] is None


def test_permutations_are_sums_with_more_elements() -> None:
    found = told("task={name: permutation, d: 8, degree: 5}")
    assert found["threshold"] == pytest.approx(1 / 121)
    assert found["sampled_accuracy"] == pytest.approx(closed_forms.sampled_accuracy(0.25, 120))


def test_multiplication_and_graphs_have_few() -> None:
    found = told(source="multiplication-2")
    assert (found["threshold"], found["sampled_long_share"], found["greedy_accuracy"]) == (0.5, 0.25, None)
    assert told("task.marker=long", source="multiplication-2")["threshold"] is None
    assert all(told("task={name: graph_path}")[key] is None for key in PREDICTED)


def test_the_sequence_mean_with_options_is_not_predicted() -> None:
    assert told("pretrain.loss_weighting=sequence_mean")["threshold"] is not None
    assert told("pretrain.loss_weighting=sequence_mean", "task.leap=2")["threshold"] is None


def test_each_stage_that_theory_knows_has_its_own_predictions() -> None:
    found = told()
    assert set(found["stages"]) == {"pretrain", "posttrain"}
    assert found["stages"]["pretrain"]["sampled_long_share"] == found["sampled_long_share"] == 0.25
    assert found["stages"]["posttrain"] == found["rl"]
    assert set(told("posttrain.start=pretrain@100")["stages"]) == {"pretrain"}  # RL from a learner that is not done


def test_of_a_schedule_the_last_mixture_counts() -> None:
    found = told("pretrain.mixture={p_cot: [[0, .05], [.5, .4]]}")
    assert (found["greedy"], found["sampled_long_share"]) == ("long", pytest.approx(0.4))


def test_a_recipe_that_begins_elsewhere_has_no_predictions() -> None:
    found = told("pretrain=null", "posttrain.start=./there", "continued_pretrain=null")
    assert found["stages"] == {}
    assert found["threshold"] is None


def test_the_sequence_mean_on_text_is_not_predicted() -> None:
    """A long demonstration of 40 tokens then counts a tenth of a short one of 4 at the token that chooses the form."""
    assert told(source="llm-tiny")["sampled_long_share"] == 0.4
    assert told("pretrain.loss_weighting=sequence_sum", source="llm-tiny")["threshold"] == 0.5
    found = told("pretrain.loss_weighting=sequence_mean", source="llm-tiny")
    assert (found["sampled_long_share"], found["threshold"], found["greedy"]) == (None, None, None)
    assert not any(found["stages"].values())
