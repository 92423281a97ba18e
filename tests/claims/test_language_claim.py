"""The claim on a language model judged on made-up runs: it holds where RL lifts, and fails where it does not."""

from pathlib import Path
from typing import Any

import pytest

from chainlift.claims import registry
from chainlift.claims.finished import Finished
from chainlift.claims.llm_tiny.claim import CLAIM
from chainlift.measure.finding import Finding, verdict
from chainlift.stages import recipe as recipes
from chainlift.sweep.status import costs

BEFORE = {
    "greedy_long_share": 0.0, "sampled_long_share": 0.31, "long_prefix_probability": 0.41, "greedy_accuracy": 0.2,
    "sampled_short_accuracy": 0.1, "sampled_long_accuracy": 0.6, "forced_long_accuracy": 0.93,
    "greedy_length_mean": 3.7,
}  # fmt: skip
AFTER = {
    "greedy_long_share": 0.98,
    "greedy_accuracy": 0.7,
    "sampled_accuracy": 0.6,
    "greedy_length_mean": 50.0,
    "forced_long_accuracy": 0.95,
}


class Made(Finished):
    """A run with two evaluations of RL."""

    def evaluations(self, stage: str) -> list[dict[str, Any]]:
        """The first is what fine-tuning left, the last what RL made."""
        ends = (self.summary["pretrain"], self.summary["posttrain"])
        return [
            {"step": step, "greedy": {"accuracy": end["greedy_accuracy"], "length_mean": end["greedy_length_mean"]}}
            for step, end in zip((0, 30), ends, strict=True)
        ]


def judged(
    before: dict[str, float] | None = None,
    after: dict[str, float] | None = None,
    baseline: dict[str, float] | None = None,
) -> list[Finding]:
    """Two calm seeds and one that is changed."""
    finished: list[Finished] = []
    for seed, one, other in ((0, {}, {}), (1, {}, {}), (2, before or {}, after or {})):
        summary = {
            "pretrain": BEFORE | one,
            "posttrain": AFTER | other,
            "continued_pretrain": BEFORE | (baseline or {}),
        }
        finished.append(Made(recipes.load("llm-tiny", seed=seed), summary, Path()))
    return CLAIM.check(finished)


def test_it_holds_where_rl_lifts() -> None:
    found = judged()
    assert verdict(found) == "holds"
    assert sum(finding.holds is not None for finding in found) == 6
    course = [one for one in found if one.quantity == "greedy accuracy during RL"]
    assert [(one.x, one.mean) for one in course] == [(0, pytest.approx(0.2)), (30, pytest.approx(0.7))]


@pytest.mark.parametrize(
    ("before", "after", "quantity"),
    [
        ({"greedy_long_share": 0.5}, {}, "greedy long share after fine-tuning"),
        ({"forced_long_accuracy": 0.8}, {}, "greedy accuracy of answers made long, after fine-tuning"),
        ({"long_prefix_probability": 0.44}, {}, "probability of the long opening after fine-tuning"),
        ({}, {"greedy_long_share": 0.5}, "greedy long share after RL"),
        ({}, {"greedy_accuracy": 0.25}, "greedy accuracy gained by RL"),
    ],
)
def test_it_fails_where_one_seed_is_otherwise(before: dict[str, float], after: dict[str, float], quantity: str) -> None:
    failed = [finding.quantity for finding in judged(before, after) if finding.holds is False]
    assert failed == [quantity]


def test_it_is_known_and_not_among_all() -> None:
    claim = registry.CLAIMS["llm-tiny"]
    assert not claim.in_all
    assert [one.name for one in registry.CLAIMS.values() if not one.in_all] == ["llm-tiny", "llm-threshold", "llm-smol"]
    runs = [(one.seed, one.mixture.last) for one in claim.runs(range(8), False)]
    assert [seed for seed, p_cot in runs if p_cot == 0.4] == [*range(8)]
    assert [seed for seed, p_cot in runs if p_cot == 0.0] == [seed for seed, p_cot in runs if p_cot == 1.0] == [0, 1, 2]
    assert claim.runs((0,), True)[0].digest != claim.runs((0,), False)[0].digest


@pytest.mark.slow
def test_its_time_is_estimated_by_steps_of_its_own(tmp_path: Path) -> None:
    from chainlift.report.terminal.reporter import Reporter

    one = CLAIM.runs((0,))[0]
    (seconds,) = costs([one], tmp_path, Reporter(quiet=True), threads=1).values()
    assert 60 < seconds < 20_000
