"""Recipes of language models: another source of problems takes its own keys, what has been typed is never dropped."""

import pytest

from chainlift.stages import recipe as recipes
from chainlift.text.sources.gsm8k import Gsm8kSettings
from chainlift.text.sources.math_data import MathSettings


def test_another_source_leaves_the_keys_of_the_recipes_own_source_behind() -> None:
    chosen = recipes.load("llm-tiny-trl", ["task.name=gsm8k", "task.path=/somewhere", "task.train_limit=9"])
    assert isinstance(chosen.task, Gsm8kSettings)
    assert (chosen.task.path, chosen.task.train_limit) == ("/somewhere", 9)
    whole = recipes.load("llm-tiny-trl", ["task={name: math, path: /x}"])
    assert isinstance(whole.task, MathSettings)


def test_keys_that_both_sources_know_stay() -> None:
    before = recipes.load("llm-gsm8k-smol", ["task.train_limit=7"])
    after = recipes.load("llm-gsm8k-smol", ["task.name=math", "task.train_limit=7"])
    assert isinstance(before.task, Gsm8kSettings)
    assert isinstance(after.task, MathSettings)
    assert (before.task.calculator, after.task.train_limit) == ("strip", 7)
    assert (after.task.template, after.task.max_tokens) == (before.task.template, before.task.max_tokens)
    assert (before.task.grader, after.task.grader) == ("exact", "math")


@pytest.mark.parametrize("overrides", [["task.name=gsm8k", "task.min_steps=2"], ["task.name=gsm8k", "task.max_stps=2"]])
def test_a_typed_key_that_the_new_source_does_not_know_is_named(overrides: list[str]) -> None:
    with pytest.raises(ValueError, match=r"task\.m.*: unknown key.*calculator"):
        recipes.load("llm-tiny-trl", overrides)


def test_an_unknown_source_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"task 'gsm8' is not known, did you mean 'gsm8k'\?; known: .*word_problems"):
        recipes.load("llm-tiny-trl", ["task.name=gsm8"])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["pretrain.max_length=257"], r"pretrain: max_length 257 is more than model\.scratch\.context 256"),
        (["pretrain.batch_size=96"], r"pretrain: batch_size 96 must be a multiple of micro_batch_size 64"),
        (["posttrain.group_size=1"], r"posttrain: group_size must be at least 2 for grpo"),
        (["posttrain.algorithm=star", "posttrain.kl=0.1"], r"posttrain: kl does not apply to star"),
        (["posttrain.algorithm=star", "posttrain.engine=vllm"], r"posttrain: engine vllm goes with TRL's algorithms"),
        (["posttrain.micro_batch_size=100"], r"posttrain: prompts times group_size \(256\) must be a multiple"),
        (["posttrain.reward=end_to_edn"], r"posttrain\.reward: .*'end_to_edn' is not known, did you mean 'end_to_end'"),
        (["model.lora.rank=2", "posttrain.keep=all"], r"posttrain: checkpoints inside a stage hold adapters alone"),
        (["task={name: running_sum}"], r"family 'transformers' reads text, and task 'running_sum' has symbols"),
        (["model={family: gpt2}"], r"family 'gpt2' reads symbols, and task 'word_problems' is text"),
        (
            ["pretrain={kind: ntp}"],
            r"pretrain: kind 'ntp' trains models of our own engine; .* model\.family=llama",
        ),
        (["model.scratch=null"], r"model: give either model\.path or model\.scratch"),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(overrides: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        recipes.load("llm-tiny-trl", overrides)
    assert len(str(error.value).splitlines()) == 1
