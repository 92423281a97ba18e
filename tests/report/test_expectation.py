"""What a run tells before it starts is what theory says, whatever side of the threshold it is on."""

import subprocess
from pathlib import Path

import pytest

from chainlift.stages import recipe as recipes
from chainlift.stages.planning.expectation import expectation
from chainlift.stages.planning.prediction import predicted
from chainlift.theory.forecast import predictions
from tests.conftest import chainlift


@pytest.mark.parametrize(
    ("p_cot", "told"),
    [
        (0.25, "not above the threshold 0.333, so after next-token prediction greedy answers are short (accuracy 0.5)"),
        (0.25, "25.0% of the samples are long (accuracy 0.625); RL can lift this to 1, STaR from round 1 on"),
        (0.01, "STaR from round 6 on"),
        (0.4, "above the threshold 0.333, so after next-token prediction greedy answers are long (accuracy 1)"),
        (0.0, "RL cannot lift this"),
    ],
)
def test_the_expectation_in_words(p_cot: float, told: str) -> None:
    sentence = expectation(predictions(50, 2, p_cot), with_rl=True)
    assert sentence is not None
    assert told in sentence
    assert ("not above" in sentence) == (p_cot < 1 / 3)


def test_without_closed_forms_nothing_is_expected() -> None:
    assert expectation({"greedy": None, "threshold": None}, with_rl=True) is None


def test_a_run_without_rl_is_promised_none() -> None:
    sentence = expectation(predictions(50, 2, 0.25), with_rl=False)
    assert sentence is not None
    assert "RL" not in sentence
    assert "STaR" not in sentence


def test_the_rounds_are_those_at_the_recipe_s_temperature_and_the_shares_those_of_an_evaluation() -> None:
    """At temperature 1.5 a round of STaR adds 1.5 log 2 to the log-odds: p = .02 needs 4 rounds instead of 5."""
    told = {}
    for temperature in ("1.0", "1.5"):
        overrides = ["mixture.p_cot=0.02", "posttrain.algorithm=star", f"posttrain.temperature={temperature}"]
        told[temperature] = predicted(recipes.load("headline", overrides))
    assert [told[t]["star_rounds_to_flip"] for t in ("1.0", "1.5")] == [5, 4]
    assert [told[t]["sampled_long_share"] for t in ("1.0", "1.5")] == [pytest.approx(0.02)] * 2
    assert "star_rounds_to_flip" in predicted(recipes.load("headline", ["posttrain=null", "continued_pretrain=null"]))


@pytest.mark.slow
@pytest.mark.smoke
def test_a_run_tells_it_once_before_it_trains(recipe: Path, tmp_path: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        return chainlift("run", recipe, "posttrain=null", "continued_pretrain=null", "--out", tmp_path / "runs")

    first = run().stderr.splitlines()
    assert first[0].startswith("theory: p_cot is")
    assert not any(line.startswith("theory:") for line in run().stderr.splitlines())
