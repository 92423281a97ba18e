"""What is typed beside a recipe: seeds, and overrides that choose another part than the recipe's file has."""

import pytest

from chainlift import overrides
from chainlift.stages import recipe
from chainlift.stages import recipe as recipes


@pytest.mark.parametrize(("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("3", [3]), ("0,2,5-6", [0, 2, 5, 6])])
def test_seeds(text: str, seeds: list[int]) -> None:
    assert overrides.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "4-2", "1,,2", "-1"])
def test_bad_seeds(text: str) -> None:
    with pytest.raises(ValueError, match="--seeds"):
        overrides.parse_seeds(text)


@pytest.mark.parametrize("text", ["0-99999999999", "0-9999,20000", "9" * 5000, "1-" + "9" * 30])
def test_seeds_without_end_are_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="--seeds") as told:
        overrides.parse_seeds(text)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize(
    "typed",
    [
        ["task.name=multiplication"],
        ["task.name=multiplication", "task.n=3"],
        ["task.name=graph_path"],
        ["model.family=linear", "pretrain.optimizer=sgd"],
        ["task.name=permutation", "model.family=mistral"],
    ],
)
def test_another_part_leaves_the_keys_of_the_files_own_part_behind(typed: list[str]) -> None:
    found = recipe.load("tiny", typed)
    for one in typed:
        key, _, value = one.partition("=")
        assert str(found.setting(key)) == value
    assert recipes.load("tiny", typed) == found


def test_keys_that_both_parts_know_stay() -> None:
    found = recipe.load("tiny", ["task.name=permutation", "model.family=mistral"])
    assert found.setting("task.d") == recipe.load("tiny").setting("task.d")
    assert found.setting("model.width") == recipe.load("tiny").setting("model.width")


@pytest.mark.parametrize(
    "typed",
    [
        ["task.name=multiplication", "task.d=8"],
        ["task={name: multiplication, d: 8}"],
        ["task.name=graph_path", "task.modulus=2"],
    ],
)
def test_a_typed_key_that_the_new_part_does_not_know_is_named(typed: list[str]) -> None:
    with pytest.raises(ValueError, match=r"task\.(d|modulus): unknown key"):
        recipe.load("tiny", typed)


def test_a_sweep_of_a_language_recipe_may_choose_another_source() -> None:
    found = recipes.load("llm-tiny", ["task.name=gsm8k", "task.path=/somewhere"])
    assert found.setting("task.name") == "gsm8k"


@pytest.mark.parametrize("kind", ["ppo", "dpo"])
def test_another_kind_of_rl_leaves_out_what_it_fixes(kind: str) -> None:
    assert recipe.load("headline").setting("posttrain.algorithm") == "dr_grpo"
    chosen = recipe.load("headline", [f"posttrain.kind={kind}"])
    assert chosen.setting("posttrain.algorithm") == kind
    assert chosen.setting("posttrain.prompts") == recipe.load("headline").setting("posttrain.prompts")
    with pytest.raises(ValueError, match=rf"posttrain\.algorithm: must be {kind}"):
        recipe.load("headline", [f"posttrain.kind={kind}", "posttrain.algorithm=rloo"])
