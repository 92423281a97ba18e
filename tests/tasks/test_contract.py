"""What every registered task must keep, shipped or plugged in."""

import pytest
import torch

from chainlift.seeding import stream
from chainlift.tasks import base

SETTINGS = {
    "running_sum": [{"d": 5}, {"d": 12, "modulus": 3}, {"d": 4, "modulus": 11}],
}
CASES = [(name, keys) for name in base.names() for keys in SETTINGS.get(name, [{}])]


@pytest.fixture(params=CASES, ids=str)
def task(request: pytest.FixtureRequest) -> base.Task:
    name, keys = request.param
    return base.build(base.settings_class(name)(**keys))


def test_it_satisfies_the_protocol(task: base.Task) -> None:
    assert isinstance(task, base.Task)
    assert task.vocabulary.tokens[task.vocabulary.eos] == base.EOS
    assert 0 < task.short_length < task.long_length


@pytest.mark.parametrize("long", [False, True])
def test_gold_is_right(task: base.Task, long: bool) -> None:
    prompts = task.prompts(64, stream(0, "contract"))
    gold = task.gold(prompts, long=long)
    length = task.long_length if long else task.short_length
    assert prompts.shape == (64, task.prompt_length)
    assert gold.shape == (64, length + 1)
    verdict = task.verify(prompts, gold)
    assert verdict.answer.all()
    assert verdict.chain.all()
    assert verdict.finished.all()
    assert (verdict.length == length).all()
    assert (verdict.long == long).all()
    assert (verdict.steps_right == verdict.steps).all()


@pytest.mark.parametrize("long", [False, True])
def test_each_corruption_of_the_answer_is_wrong(task: base.Task, long: bool) -> None:
    prompts = task.prompts(16, stream(1, "contract"))
    gold = task.gold(prompts, long=long)
    for other in range(1, task.vocabulary.size - 1):
        wrong = gold.clone()
        wrong[:, -2] = (gold[:, -2] + other) % (task.vocabulary.size - 1)
        verdict = task.verify(prompts, wrong)
        assert not verdict.answer.any()
        assert not verdict.chain.any()


def test_each_corruption_of_a_chain_is_seen(task: base.Task) -> None:
    prompts = task.prompts(16, stream(2, "contract"))
    gold = task.gold(prompts, long=True)
    for position in range(task.long_length - 1):
        wrong = gold.clone()
        wrong[:, position] = (gold[:, position] + 1) % (task.vocabulary.size - 1)
        verdict = task.verify(prompts, wrong)
        assert verdict.answer.all(), "the answer itself is untouched"
        assert not verdict.chain.any()
        assert (verdict.steps_right < verdict.steps).all()


def test_cut_overlong_and_empty_responses_are_wrong(task: base.Task) -> None:
    prompts = task.prompts(16, stream(3, "contract"))
    gold, eos = task.gold(prompts, long=True), task.vocabulary.eos
    unfinished = task.verify(prompts, gold[:, :-1])
    assert not unfinished.finished.any()
    assert not unfinished.answer.any()
    assert (unfinished.length == task.long_length).all()
    empty = task.verify(prompts, torch.full_like(gold, eos))
    assert empty.finished.all()
    assert not empty.answer.any()
    longer = torch.cat([gold[:, :-1], gold[:, -2:]], dim=1)  # the answer said twice
    verdict = task.verify(prompts, longer)
    assert verdict.answer.all()
    assert not verdict.chain.any()


def test_padding_after_eos_changes_nothing(task: base.Task) -> None:
    prompts = task.prompts(16, stream(4, "contract"))
    short = task.gold(prompts, long=False)
    padded = torch.nn.functional.pad(short, (0, 7), value=task.vocabulary.eos)
    for field in ("answer", "chain", "finished", "long", "length", "steps"):
        assert torch.equal(getattr(task.verify(prompts, short), field), getattr(task.verify(prompts, padded), field))


def test_streams_collide_only_by_chance(task: base.Task) -> None:
    """False alarm under 1e-6: the number of equal pairs is at most Poisson-like around its expectation."""
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


def test_text_and_tokens_are_inverse(task: base.Task) -> None:
    prompt = task.prompts(1, stream(5, "contract"))[0]
    assert torch.equal(task.vocabulary.encode(task.vocabulary.decode(prompt)), prompt)
    with pytest.raises(ValueError, match="no token of this task"):
        task.vocabulary.encode("?")


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(ValueError, match=r"'nothing' is not known; known: .*running_sum"):
        base.settings_class("nothing")
