"""The estimate of a run's time against the run itself, loosely: these machines are noisy."""

import time
from pathlib import Path

import pytest

from chainlift.report.terminal.reporter import Reporter
from chainlift.stages import pipeline, recipe
from chainlift.stages.planning import cost

SMALL = ["continued_pretrain=null", "evaluate.every=1000", "evaluate.prompts=64", "evaluate.pass_at_k_prompts=0"]


def test_costs_grow_with_the_numbers_of_steps() -> None:
    """Counts only: the ratio of two estimates is that of their steps, up to a factor of 3 for a noisy machine."""
    short = cost.estimate(recipe.load("tiny", [*SMALL, "pretrain.steps=100", "posttrain.steps=10"]))
    long = cost.estimate(recipe.load("tiny", [*SMALL, "pretrain.steps=10000", "posttrain.steps=1000"]))
    for name in ("pretrain", "posttrain"):
        more, few = long.stages[name], short.stages[name]
        assert more is not None
        assert few is not None
        assert 100 / 3 < more / few < 300
    assert set(cost.estimate(recipe.load("tiny", [*SMALL, "posttrain=null"])).stages) == {"pretrain"}


def test_evaluations_cost_their_greedy_and_sampled_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside of stages 2 + 2 evaluations of 3 prompts, at ends 1 + 2 of 7, and pass@k of 5 prompts after each stage."""

    class Second:
        next_token_update = staticmethod(lambda stage: 0.0)
        policy_round = staticmethod(lambda stage: (0.0, 0.0))
        decoded_response = staticmethod(lambda: 1.0)

    monkeypatch.setattr(cost, "_stopwatch", lambda recipe: Second)
    chosen = ["continued_pretrain=null", "pretrain.steps=10", "evaluate.every=5", "posttrain.steps=4"]
    chosen += ["posttrain.steps_per_round=1", "evaluate.every_rounds=2", "evaluate.during=3", "evaluate.prompts=7"]
    chosen += ["evaluate.pass_at_k_prompts=5", "evaluate.pass_at_k_samples=4"]
    found = cost.estimate(recipe.load("tiny", chosen))
    assert found.evaluations == 2 * (4 * 3 + 3 * 7) + 2 * 5 * 4
    assert found.seconds == found.evaluations


def test_a_stage_whose_length_another_decides_is_left_out_and_named() -> None:
    found = cost.estimate(recipe.load("tiny", SMALL[1:]))
    assert found.stages["continued_pretrain"] is None
    assert str(found).endswith("without continued_pretrain")
    assert found.without({"pretrain"}) == pytest.approx(found.seconds - (found.stages["pretrain"] or 0))


def test_a_task_without_chains_has_a_cost_too() -> None:
    found = cost.estimate(recipe.load("tiny", [*SMALL, "task={name: reasoning_gym}", "mixture.p_cot=0"]))
    assert (found.stages["pretrain"] or 0) > 0


@pytest.mark.parametrize(
    ("seconds", "told"), [(1, "1 s"), (89, "89 s"), (90, "1.5 min"), (5400, "1.5 h"), (1e6, "11.6 days")]
)
def test_times_are_told_in_fitting_units(seconds: float, told: str) -> None:
    text = str(cost.Cost({"pretrain": seconds}))
    assert text == f"pretrain about {told}, evaluations at most 0 s"


@pytest.mark.slow
def test_a_run_takes_about_as_long_as_estimated(tmp_path: Path) -> None:
    """Within a factor of 4 either way, on the median machine within a third."""
    chosen = recipe.load("tiny", [*SMALL, "pretrain.steps=150"])
    expected = cost.estimate(chosen)
    started = time.monotonic()
    pipeline.run(chosen, tmp_path, Reporter(quiet=True))
    seconds = time.monotonic() - started
    assert seconds / 4 < expected.seconds < 4 * seconds + 2
