"""What a run tells before it starts is what theory says, whatever side of the threshold it is on."""

import subprocess
from pathlib import Path

import pytest

from chainlift.report.sentence import expectation
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
    sentence = expectation(predictions(50, 2, p_cot))
    assert sentence is not None
    assert told in sentence
    assert ("not above" in sentence) == (p_cot < 1 / 3)


def test_without_closed_forms_nothing_is_expected() -> None:
    assert expectation({"greedy": None, "threshold": None}) is None


@pytest.mark.slow
def test_a_run_tells_it_once_before_it_trains(recipe: Path, tmp_path: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        return chainlift("run", recipe, "posttrain=null", "continued_pretrain=null", "--out", tmp_path / "runs")

    first = run().stderr.splitlines()
    assert first[0].startswith("theory: p_cot is")
    assert not any(line.startswith("theory:") for line in run().stderr.splitlines())
