"""The checks of the claims beyond parity: a perfect blind learner passes each, and each kind of failure is seen."""

from itertools import groupby
from typing import Any

import pytest

from chainlift.claims import registry
from chainlift.claims.grpo_length_bias.figure import WEIGHT, cell
from chainlift.claims.modulus.claim import MODULI
from chainlift.claims.noisy_chain.claim import NOISE
from chainlift.claims.rare_long.claim import RAREST
from chainlift.measure.finding import Finding, verdict
from chainlift.report.figures import interactive, static
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.recipe import Recipe
from chainlift.theory import closed_forms
from tests.claims.blind_runs import blind

NAMES = (
    "modulus", "marker", "leap", "noisy-chain", "rare-long", "multiplication", "ntp-stalls", "rl-lifts", "threshold",
    "capacity", "algorithms", "switch-time",
)  # fmt: skip
SEEDS = [0, 1, 2]


def failed(findings: list[Finding]) -> set[str]:
    return {finding.quantity for finding in findings if finding.holds is False}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("quick", [False, True])
def test_a_blind_learner_passes(name: str, quick: bool) -> None:
    claim = registry.CLAIMS[name]
    finished = blind(claim.runs(SEEDS, quick))
    findings = claim.check(finished)
    for picture in claim.pictures(finished):
        assert picture.seeds == (0, 1, 2)
        assert static.draw(picture).axes
        assert interactive.draw(picture)["data"]
        assert len(picture.table()) > 3
    assert failed(findings) == set()
    # Whose every checkpoint has learned the chain says nothing of early ones.
    assert verdict(findings) == ("measured" if name == "switch-time" else "holds")
    assert all(len(finding.values) in (1, 3) for finding in findings)
    quantities = [finding.quantity for finding in findings]
    assert [name for name, _ in groupby(quantities)] == list(dict.fromkeys(quantities)), "quantities stand together"


@pytest.mark.parametrize("K", MODULI)
def test_a_threshold_at_a_third_for_every_modulus_fails(K: int) -> None:
    """A learner whose going on does not know of K, as if 1/3 were a law: only K = 2 holds."""
    claim = registry.CLAIMS["modulus"]

    def parity(recipe: Recipe, summary: dict[str, Any]) -> None:
        of_two = blind([recipe.model_copy(update={"task": recipe.task.model_copy(update={"modulus": 2})})])[0]
        key = "decision_go_on_log_odds"
        summary["pretrain"][key] = of_two.summary["pretrain"][key]

    findings = claim.check(blind(claim.runs(SEEDS), parity))
    line = next(f for f in findings if f.setting == f"K {K}" and f.quantity.startswith("threshold, from log-odds"))
    assert line.mean == pytest.approx(1 / 3, abs=1e-6)
    assert line.holds is (K == 2)


def test_a_marker_that_changes_nothing_fails() -> None:
    claim = registry.CLAIMS["marker"]

    def unmoved(recipe: Recipe, summary: dict[str, Any]) -> None:
        summary["pretrain"]["decision_first_lead_log_odds"] = summary["pretrain"]["decision_go_on_log_odds"]
        summary["pretrain"]["greedy_long_share"] = float(recipe.mixture.last > 1 / 3)

    findings = claim.check(blind(claim.runs(SEEDS), unmoved))
    assert {f.setting for f in findings if f.holds is False} == {"marker both"}


LENGTH_BIAS = {
    "sampled_accuracy": ("sampled accuracy gained by decisions apart", 0.9),
    "decision_go_on_elsewhere": ("P(go on) after a wrong opening, lowered by decisions apart", 0.99),
}
"""{measurement: (quantity, its value in cells with the bias)}."""


def biased(recipe: Recipe, summary: dict[str, Any]) -> None:
    """A learner that the mean over a response's tokens harms, if decisions are weighed with the rest."""
    summary["posttrain"]["decision_go_on_elsewhere"] = 0.7
    if cell(recipe)[1:] == ("sequence_mean", None):
        summary["posttrain"] |= {key: value for key, (_, value) in LENGTH_BIAS.items()}


@pytest.mark.parametrize("quick", [False, True])
def test_a_learner_with_a_length_bias_passes(quick: bool) -> None:
    claim = registry.CLAIMS["grpo-length-bias"]
    finished = blind(claim.runs(SEEDS, quick), biased)
    assert verdict(claim.check(finished)) == "holds"
    for picture in claim.pictures(finished):
        assert static.draw(picture).axes
        assert interactive.draw(picture)["data"]


def test_a_learner_without_a_length_bias_fails() -> None:
    claim = registry.CLAIMS["grpo-length-bias"]
    findings = claim.check(blind(claim.runs(SEEDS)))
    assert failed(findings) == {quantity for quantity, _ in LENGTH_BIAS.values()}


@pytest.mark.parametrize("key", LENGTH_BIAS)
def test_a_cure_that_cures_two_seeds_of_three_fails(key: str) -> None:
    claim = registry.CLAIMS["grpo-length-bias"]

    def uncured(recipe: Recipe, summary: dict[str, Any]) -> None:
        biased(recipe, summary)
        if recipe.seed == 1 and cell(recipe) == ("group_mean", "sequence_mean", WEIGHT):
            summary["posttrain"][key] = LENGTH_BIAS[key][1]

    lines = [finding for finding in claim.check(blind(claim.runs(SEEDS), uncured)) if finding.holds is False]
    assert (LENGTH_BIAS[key][0], "mean, sequence mean") in {(line.quantity, line.setting) for line in lines}


def test_leaping_chains_that_generalise_below_a_third_are_told() -> None:
    claim = registry.CLAIMS["leap"]

    def sees(recipe: Recipe, summary: dict[str, Any]) -> None:
        summary["pretrain"]["greedy_accuracy"] = 1.0

    fails = {f.setting for f in claim.check(blind(claim.runs(SEEDS), sees)) if f.holds is False}
    assert fails == {"p_cot 0.2", "p_cot 0.28"}


def test_log_odds_that_do_not_rise_are_no_threshold() -> None:
    claim = registry.CLAIMS["leap"]

    def flat(recipe: Recipe, summary: dict[str, Any]) -> None:
        summary["pretrain"]["decision_go_on_log_odds"] = 0.3

    assert "threshold, from log-odds of going on" in failed(claim.check(blind(claim.runs(SEEDS), flat)))


def test_noise_that_the_reward_does_not_see_fails() -> None:
    """A share that grows by the noise-free factor whatever the noise: the less noisy half still holds."""
    claim = registry.CLAIMS["noisy-chain"]

    def grows(recipe: Recipe, summary: dict[str, Any]) -> None:
        p = recipe.mixture.last
        summary["posttrain"]["sampled_long_share"] = 2 * p / (1 + p)

    lines = [f for f in claim.check(blind(claim.runs(SEEDS), grows)) if "round of STaR" in f.quantity and f.predicted]
    fails = {f.setting for f in lines if not f.holds}
    assert {"chain noise 0.067", "chain noise 0.11", "end_to_end noise 0.11"} <= fails
    assert "end_to_end noise 0.01" not in fails


@pytest.mark.parametrize(("p", "accuracy"), [(0, 1.0), (0.01, 0.8)])
def test_a_lift_without_long_demonstrations_and_none_with_them_fail(p: float, accuracy: float) -> None:
    claim = registry.CLAIMS["rare-long"]

    def change(recipe: Recipe, summary: dict[str, Any]) -> None:
        if recipe.mixture.last == p:
            summary["posttrain"]["greedy_accuracy"] = accuracy

    findings = claim.check(blind(claim.runs(SEEDS), change))
    steps = ["1,600 steps", "3,200 steps"] if p == RAREST else ["1,600 steps"]
    assert [f.setting for f in findings if f.holds is False] == [f"{one}, p_cot {p:g}" for one in steps]


def test_multiplication_that_stays_poor_fails() -> None:
    claim = registry.CLAIMS["multiplication"]

    def poor(recipe: Recipe, summary: dict[str, Any]) -> None:
        summary["posttrain"]["greedy_accuracy"] = 0.5

    findings = claim.check(blind(claim.runs(SEEDS), poor))
    assert [f.setting for f in findings if f.holds is False] == ["n 2", "n 3"]


def test_the_noise_grid_is_on_both_sides_of_one_half() -> None:
    q = [(1 - noise) ** 10 for noise in NOISE]
    assert sum(one > 0.5 for one in q) >= 2
    assert sum(one < 0.5 for one in q) >= 2


def test_next_token_prediction_that_generalises_below_a_third_fails() -> None:
    """A learner that sees the parity: greedy and sampled short answers are right, too."""

    def sees(recipe: Recipe, summary: dict[str, Any]) -> None:
        summary["pretrain"]["greedy_accuracy"] = 1.0

    for name in ("ntp-stalls", "rl-lifts", "threshold", "capacity"):
        claim = registry.CLAIMS[name]
        assert any("greedy accuracy" in quantity for quantity in failed(claim.check(blind(claim.runs(SEEDS), sees))))


def test_a_threshold_that_is_off_by_more_than_003_fails() -> None:
    claim = registry.CLAIMS["threshold"]

    def shifted(by: float) -> set[str]:
        def change(recipe: Recipe, summary: dict[str, Any]) -> None:
            p = min(max(recipe.mixture.last + by, 0.001), 0.999)
            summary["pretrain"]["decision_go_on_log_odds"] = closed_forms.log_odds(closed_forms.go_on_probability(p, 2))

        return failed(claim.check(blind(claim.runs(SEEDS), change)))

    name = "threshold, from log-odds of going on"
    assert name in shifted(0.05)
    assert name in shifted(-0.05)
    assert name not in shifted(0.02)


def test_a_threshold_that_is_nowhere_is_drawn_without_its_line() -> None:
    claim = registry.CLAIMS["threshold"]

    def falling(recipe: Recipe, summary: dict[str, Any]) -> None:
        summary["pretrain"]["decision_go_on_log_odds"] = -recipe.mixture.last

    finished = blind(claim.runs(SEEDS), falling)
    assert "threshold, from log-odds of going on" in failed(claim.check(finished))
    (picture,) = claim.pictures(finished)
    assert not any(row["line"] == "fitted" for row in picture.table())


def test_an_algorithm_that_does_not_lift_is_named_and_the_reported_failure_is_only_measured() -> None:
    claim = registry.CLAIMS["algorithms"]

    def stuck(recipe: Recipe, summary: dict[str, Any]) -> None:
        rl = recipe.first(ReinforcementLearning)
        if rl is not None and (rl[1].algorithm, rl[1].temperature) == ("star", 1.5):
            summary["posttrain"] |= {"greedy_accuracy": 0.5, "greedy_length_median": 1}

    fails = {finding.setting for finding in claim.check(blind(claim.runs(SEEDS), stuck)) if finding.holds is False}
    assert fails == {"star, chain, temperature 1.5"}


def test_an_early_switch_is_predicted_to_give_no_accuracy() -> None:
    claim = registry.CLAIMS["switch-time"]

    def early(recipe: Recipe, summary: dict[str, Any]) -> None:
        if recipe.setting("pretrain.steps") <= 100:
            summary["pretrain"]["sampled_chain_exactness"] = 0.0

    def helped(recipe: Recipe, summary: dict[str, Any]) -> None:
        early(recipe, summary)
        if recipe.setting("pretrain.steps") <= 100:
            summary["posttrain"]["greedy_accuracy"] = 0.5

    runs = claim.runs(SEEDS)
    assert "greedy accuracy after RL" in failed(claim.check(blind(runs, early)))  # it became right all the same
    assert verdict(claim.check(blind(runs, helped))) == "holds"
