"""What a stage builds on: where it starts, and whose tokens it matches."""

from chainlift.stages import recipe as recipes
from chainlift.stages import starts

STAGES = recipes.load("tiny", ["posttrain.start=pretrain@50"]).stages


def test_a_baseline_needs_the_stage_whose_tokens_it_matches() -> None:
    assert list(STAGES) == ["pretrain", "posttrain", "continued_pretrain"]
    assert starts.needed_for(STAGES, "continued_pretrain") == {"pretrain", "posttrain", "continued_pretrain"}
    assert starts.needed_for(STAGES, "posttrain") == {"pretrain", "posttrain"}
    assert starts.built_on(STAGES) == ["pretrain", "posttrain"]


def test_steps_with_which_others_begin_are_needed() -> None:
    assert starts.steps_needed(STAGES, "pretrain") == {50}
    assert starts.steps_needed(STAGES, "posttrain") == frozenset()
    assert starts.keeping(STAGES, "pretrain").keep == [50]
