"""Recipes of language models: another source of data takes its own keys, what has been typed is never dropped."""

import pytest

from chainlift.llm import recipe


def test_another_source_leaves_the_keys_of_the_recipes_own_source_behind() -> None:
    chosen = recipe.load("llm-tiny", ["data.name=gsm8k", "data.path=/somewhere", "data.train_limit=9"])
    assert chosen.data.model_dump()["name"] == "gsm8k"
    assert (chosen.data.model_dump()["path"], chosen.data.train_limit) == ("/somewhere", 9)
    whole = recipe.load("llm-tiny", ["data={name: math, path: /x}"])
    assert whole.data.model_dump()["name"] == "math"


def test_keys_that_both_sources_know_stay() -> None:
    before = recipe.load("llm-smol-gsm8k", ["data.train_limit=7"])
    assert recipe.load("llm-smol-gsm8k", ["data.name=math", "data.train_limit=7"]).data.train_limit == 7
    assert before.data.model_dump()["calculator"] == "strip"


@pytest.mark.parametrize("overrides", [["data.name=gsm8k", "data.min_steps=2"], ["data.name=gsm8k", "data.max_stps=2"]])
def test_a_typed_key_that_the_new_source_does_not_know_is_named(overrides: list[str]) -> None:
    with pytest.raises(ValueError, match=r"data\.m.*: unknown key.*calculator"):
        recipe.load("llm-tiny", overrides)


def test_an_unknown_source_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"data\.name: 'gsm8' is not known, did you mean 'gsm8k'"):
        recipe.load("llm-tiny", ["data.name=gsm8"])
