"""What a stage builds on: where it starts, and whose tokens it matches."""

from chainlift.stages import chain
from chainlift.stages import recipe as recipes

STAGES = recipes.load("tiny", ["posttrain.start=pretrain@50"]).stages


def test_a_baseline_needs_the_stage_whose_tokens_it_matches() -> None:
    assert list(STAGES) == ["pretrain", "posttrain", "continued_pretrain"]
    assert chain.needed_for(STAGES, "continued_pretrain") == {"pretrain", "posttrain", "continued_pretrain"}
    assert chain.needed_for(STAGES, "posttrain") == {"pretrain", "posttrain"}
    assert chain.built_on(STAGES) == ["pretrain", "posttrain"]


def test_steps_with_which_others_begin_are_needed() -> None:
    assert chain.steps_needed(STAGES, "pretrain") == {50}
    assert chain.steps_needed(STAGES, "posttrain") == frozenset()
    assert chain.keeping(STAGES, "pretrain").keep == [50]
