"""What every task must keep, whatever its settings: properties, over settings and prompts that Hypothesis chooses."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from chainlift.seeding import stream
from chainlift.tasks import base, registry
from chainlift.tasks.base import Demonstrator, Resumes, Task, Verdict
from chainlift.tasks.graph_path import GraphPath
from chainlift.tasks.multiplication import Multiplication
from chainlift.tasks.prefix_chain import PrefixChain
from chainlift.text.task import TextTaskSettings

PROMPTS = 24


@st.composite
def prefix_chains(draw: st.DrawFn) -> dict[str, Any]:
    """Options of a chain of running products that fit together."""
    d = draw(st.integers(3, 9))
    found: dict[str, Any] = {
        "d": d,
        "marker": draw(st.sampled_from(["none", "long", "both"])),
        "order": draw(st.sampled_from(["left_to_right", "right_to_left"])),
        "noise": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "noise_follows": draw(st.booleans()),
    }
    shortest = d
    kind = draw(st.sampled_from(["plain", "sparse", "ragged"]))
    if kind == "sparse":
        shortest = found["sparse"] = draw(st.integers(2, d))
    elif kind == "ragged":
        shortest = found["d_min"] = draw(st.integers(2, d))
    return found | {"leap": draw(st.integers(1, shortest - 1))}


SETTINGS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "running_sum": st.builds(lambda a, k: a | {"modulus": k}, prefix_chains(), st.sampled_from([2, 3, 5, 11])),
    "permutation": st.builds(lambda a, n: a | {"degree": n}, prefix_chains(), st.sampled_from([3, 5])),
    "multiplication": st.fixed_dictionaries(
        {"n": st.integers(2, 9), "m": st.integers(1, 9), "marker": st.sampled_from(["long", "both"])}
    ),
    "graph_path": st.fixed_dictionaries(
        {
            "hops": st.integers(2, 5),
            "width": st.integers(2, 4),
            "branching": st.integers(1, 2),
            "ends": st.integers(2, 4),
            "question": st.sampled_from(["end", "reach"]),
        }
    ),
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Task, Tensor, bool]:
    """A task, prompts of it, and a form."""
    name = draw(st.sampled_from(sorted(SETTINGS)))
    task = registry.build(registry.settings_class(name)(**draw(SETTINGS[name])))
    seed = draw(st.integers(0, 10**6))
    return task, task.prompts(PROMPTS, stream(seed, "contract")), draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 10**6))
def test_a_resumed_chain_has_one_wrong_step_and_all_that_follows_builds_on_it(
    case: tuple[Task, Tensor, bool], seed: int
) -> None:
    task, prompts, _ = case
    if not isinstance(task, PrefixChain):
        assert not isinstance(task, Resumes)
        return
    gold = task.gold(prompts, long=True)
    length = base.response_lengths(gold, task.vocabulary.eos)[0]
    opening = task.long_length - task.options.chain_length  # the marker's token, if there is one
    draws = torch.rand(2, PROMPTS, generator=stream(seed, "resume"))
    at = (opening + draws[0] * (length - opening)).long()
    elements = task.num_elements
    wrong = gold.clone().scatter_(
        1, at[:, None], (gold.gather(1, at[:, None]) + 1 + (draws[1:].T * (elements - 1)).long()) % elements
    )
    noise = torch.randint(task.vocabulary.size, gold.shape, generator=stream(seed, "behind"))
    before = torch.arange(gold.shape[1]) <= at[:, None]
    resumed = task.resume(prompts, wrong.where(before, noise), at)
    assert torch.equal(resumed[before], wrong[before])
    verdict = task.verify(prompts, resumed)
    assert torch.equal(verdict.length, length)
    assert torch.equal(verdict.steps_right, verdict.steps - 1)
    same = task.resume(prompts, gold.where(before, noise), at)
    assert torch.equal(same, gold), "behind a right step it is the gold chain"


def test_every_shipped_task_is_covered() -> None:
    symbols = {
        name for name in registry.TASKS.names() if not issubclass(registry.settings_class(name), TextTaskSettings)
    }
    assert symbols - {"reasoning_gym"} == set(SETTINGS)


def same(left: Verdict, right: Verdict) -> bool:
    pairs = [(getattr(left, field.name), getattr(right, field.name)) for field in fields(Verdict)]
    return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs)


def last_columns(task: Task, responses: Tensor) -> Tensor:
    """(N, 1) where the last token before EOS stands."""
    return base.response_lengths(responses, task.vocabulary.eos)[0][:, None] - 1


@given(cases())
@settings(deadline=None)
def test_gold_is_right(case: tuple[Task, Tensor, bool]) -> None:
    task, prompts, long = case
    assert isinstance(task, Task)
    assert task.vocabulary.tokens[task.vocabulary.eos] == base.EOS
    assert 0 < task.short_length < task.long_length
    assert prompts.shape == (PROMPTS, task.prompt_length)
    gold = task.gold(prompts, long=long)
    verdict = task.verify(prompts, gold)
    for field in ("answer_correct", "chain_correct", "finished"):
        assert getattr(verdict, field).all()
    assert (verdict.long == long).all()
    assert (verdict.length <= (task.long_length if long else task.short_length)).all()
    assert (verdict.steps_right == verdict.steps).all()
    assert ((verdict.steps > 0) == long).all()
    assert gold.max() < task.vocabulary.size
    assert prompts.max() < task.vocabulary.eos


@given(cases(), st.integers(0, 1000))
@settings(deadline=None)
def test_demonstrations_have_the_form_of_gold_and_are_right_without_noise(
    case: tuple[Task, Tensor, bool], seed: int
) -> None:
    task, prompts, long = case
    if not isinstance(task, Demonstrator):
        return
    shown = task.demonstrate(prompts, stream(seed, "demonstrations"), long=long)
    verdict = task.verify(prompts, shown)
    gold = task.verify(prompts, task.gold(prompts, long=long))
    assert torch.equal(verdict.length, gold.length)
    assert torch.equal(verdict.long, gold.long)
    assert torch.equal(verdict.finished, gold.finished)
    if getattr(task.settings, "noise", 0) == 0 or not long:
        assert same(verdict, gold)


@given(cases(), st.data())
@settings(deadline=None)
def test_each_change_of_the_answer_is_wrong(case: tuple[Task, Tensor, bool], data: st.DataObject) -> None:
    task, prompts, long = case
    gold = task.gold(prompts, long=long)
    other = data.draw(st.integers(1, task.vocabulary.size - 2))
    at = last_columns(task, gold)
    wrong = gold.scatter(1, at, (gold.gather(1, at) + other) % (task.vocabulary.size - 1))
    verdict = task.verify(prompts, wrong)
    assert not verdict.answer_correct.any()
    assert not verdict.chain_correct.any()


@given(cases(), st.data())
@settings(deadline=None)
def test_each_change_inside_a_chain_is_seen(case: tuple[Task, Tensor, bool], data: st.DataObject) -> None:
    task, prompts, _ = case
    gold = task.gold(prompts, long=True)
    answer = task.answer_length + 1 if isinstance(task, Multiplication) else 1  # with the sign that says where it is
    position = data.draw(st.integers(0, int(last_columns(task, gold).min()) - answer))
    other = data.draw(st.integers(1, task.vocabulary.size - 2))
    wrong = gold.clone()
    wrong[:, position] = (gold[:, position] + other) % (task.vocabulary.size - 1)
    verdict = task.verify(prompts, wrong)
    if isinstance(task, GraphPath):
        assert (verdict.chain_correct == (verdict.steps_right == task.long_length)).all()
    else:
        assert not verdict.chain_correct.any()
    assert verdict.answer_correct.all(), "the answer itself is untouched"


@given(cases())
@settings(deadline=None)
def test_unfinished_and_empty_responses_are_wrong(case: tuple[Task, Tensor, bool]) -> None:
    task, prompts, long = case
    gold, eos = task.gold(prompts, long=long), task.vocabulary.eos
    shortest = int(last_columns(task, gold).min()) + 1
    unfinished = task.verify(prompts, gold[:, :shortest])
    assert not unfinished.finished.any()
    assert not unfinished.answer_correct.any()
    assert not unfinished.chain_correct.any()
    assert (unfinished.length == shortest).all()
    empty = task.verify(prompts, torch.full_like(gold, eos))
    assert empty.finished.all()
    assert not empty.answer_correct.any()
    assert not empty.chain_correct.any()
    assert (empty.length == 0).all()


@given(cases(), st.integers(0, 1000), st.integers(0, 5))
@settings(deadline=None)
def test_what_follows_eos_is_irrelevant(case: tuple[Task, Tensor, bool], seed: int, extra: int) -> None:
    task, prompts, long = case
    gold, eos = task.gold(prompts, long=long), task.vocabulary.eos
    padded = torch.nn.functional.pad(gold, (0, extra), value=eos)
    trailing = torch.arange(padded.shape[1]) > last_columns(task, gold) + 1
    junk = torch.randint(task.vocabulary.size, padded.shape, generator=stream(seed, "junk"))
    assert same(task.verify(prompts, gold), task.verify(prompts, padded))
    assert same(task.verify(prompts, gold), task.verify(prompts, junk.where(trailing, padded)))


@given(cases(), st.integers(0, 1000))
@settings(deadline=None)
def test_verdicts_of_any_responses_agree_row_by_row(case: tuple[Task, Tensor, bool], seed: int) -> None:
    """Random tokens, alone and put into gold responses: no crash, no contradiction, and each row for itself."""
    task, prompts, long = case
    gold = task.gold(prompts, long=long)
    draws = stream(seed, "responses")
    noise = torch.randint(task.vocabulary.size, gold.shape, generator=draws)
    responses = noise.where(torch.rand(gold.shape, generator=draws) < torch.rand(len(gold), 1, generator=draws), gold)
    verdict = task.verify(prompts, responses)
    assert (verdict.answer_correct | ~verdict.chain_correct).all()
    assert (verdict.finished | ~verdict.answer_correct).all()
    assert (verdict.steps_right <= verdict.steps).all()
    order = torch.randperm(PROMPTS, generator=draws)
    shuffled = task.verify(prompts[order], responses[order])
    alone = task.verify(prompts[:1], responses[:1])
    for field in fields(Verdict):
        whole = getattr(verdict, field.name)
        if whole is not None:
            assert torch.equal(whole[order], getattr(shuffled, field.name))
            assert torch.equal(whole[:1], getattr(alone, field.name))


@given(cases())
@settings(deadline=None)
def test_text_and_tokens_are_inverse(case: tuple[Task, Tensor, bool]) -> None:
    task, prompts, _ = case
    for prompt in prompts[:4]:
        assert torch.equal(task.vocabulary.encode(task.vocabulary.decode(prompt)), prompt)
    with pytest.raises(ValueError, match="not a token of this task"):
        task.vocabulary.encode("?")


@given(cases(), st.integers(0, 1000))
@settings(deadline=None)
def test_prompts_depend_on_the_generator_alone(case: tuple[Task, Tensor, bool], seed: int) -> None:
    task, _, _ = case
    torch.manual_seed(1)
    first = task.prompts(40, stream(seed, "x"))
    torch.manual_seed(2)
    assert torch.equal(first, task.prompts(40, stream(seed, "x")))
    assert not torch.equal(first, task.prompts(40, stream(seed, "y")))


@pytest.mark.parametrize("keys", [{"d": 5}, {"d": 12, "modulus": 3}, {"d": 4, "modulus": 11}])
def test_streams_collide_only_by_chance(keys: dict[str, int]) -> None:
    """False alarm under 1e-6: the number of equal pairs is at most Poisson-like around its expectation."""
    task = registry.build(registry.settings_class("running_sum")(**keys))
    train = task.prompts(500, stream(0, "pretrain/prompts", 0))
    evaluation = task.prompts(500, stream(0, "pretrain/evaluate/prompts", 0))
    next_seed = task.prompts(500, stream(1, "pretrain/prompts", 0))
    num_symbols = task.vocabulary.size - 1
    for other in (evaluation, next_seed):
        equal = int((train[:, None] == other[None]).all(dim=2).sum())
        expected = 500 * 500 / num_symbols**task.prompt_length
        # Pairs share rows, so the variance is a little above Poisson's; six standard deviations and six counts of
        # slack.
        assert abs(equal - expected) <= 6 * (expected * (1 + 1000 / num_symbols**task.prompt_length)) ** 0.5 + 6


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(ValueError, match=r"'nothing' is not known; known: .*running_sum"):
        registry.settings_class("nothing")
