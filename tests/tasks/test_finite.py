"""Finite training data: every prompt once an epoch, its form fixed, nested in p_cot."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from chainlift.seeding import stream
from chainlift.stages.kinds.ntp import enough_steps
from chainlift.tasks import mixture
from chainlift.tasks.finite import Finite
from chainlift.tasks.mixture import MixtureBatch, MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings
from chainlift.text.sources.word_problems import WordProblems, WordProblemSettings
from chainlift.text.templates import content
from chainlift.text.tokenized import TokenizedTask
from tests.text.trained_tokenizer import trained_tokenizer

SIZE, BATCH = 35, 8


@pytest.fixture(scope="module")
def task() -> TokenizedTask:
    text_task = WordProblems(WordProblemSettings(train_size=SIZE, test_size=5))
    return TokenizedTask(text_task, trained_tokenizer(text_task))


def batches(task: TokenizedTask, p_cot: float, steps: int, name: str = "test") -> list[MixtureBatch]:
    settings = MixtureSettings(p_cot=p_cot)
    return [mixture.draw(task, settings, BATCH, seed=0, name=name, step=step) for step in range(steps)]


def questions(task: TokenizedTask, prompts: Tensor) -> list[str]:
    return [problem.question for problem in task.problems_of(prompts)]


def forms(task: TokenizedTask, drawn_batches: list[MixtureBatch]) -> list[tuple[str, bool]]:
    """(question, whether it is long) of each demonstration."""
    parts = [(part, part is batch.long) for batch in drawn_batches for part in batch.parts]
    return [(question, long) for part, long in parts for question in questions(task, part.prompts)]


def test_equal_questions_keep_their_own_solutions() -> None:
    text_task = WordProblems(WordProblemSettings(train_size=4, test_size=2))
    problem, other = text_task.problems[0][:2]
    twice = [problem, replace(problem, solution=f"In other words: {problem.solution}"), other]
    vars(text_task)["problems"] = (twice, text_task.problems[1])
    task = TokenizedTask(text_task, trained_tokenizer(text_task))
    (long,) = mixture.draw(task, MixtureSettings(p_cot=1.0), 3, seed=0, name="test", step=0).parts
    texts = sorted(task.vocabulary.texts(long.responses, long.mask.sum(dim=1)))
    assert texts == sorted(content(text_task.completion(one, long=True)) for one in twice)


def test_every_problem_comes_once_an_epoch_in_the_same_form(task: TokenizedTask) -> None:
    """8 epochs are 35 batches; most epochs begin inside a batch."""
    seen = forms(task, batches(task, 0.4, SIZE))
    counts = Counter(seen)
    assert len(counts) == SIZE, "a problem has one form"
    assert set(counts.values()) == {BATCH}
    assert len(forms(task, batches(task, 0.4, SIZE // BATCH))) == len(
        set(forms(task, batches(task, 0.4, SIZE // BATCH)))
    )
    assert 0.4 * SIZE - 12 < sum(long for _, long in counts) < 0.4 * SIZE + 12
    assert forms(task, batches(task, 0.4, 2)) != forms(task, batches(task, 0.4, 2, name="other"))
    assert set(forms(task, batches(task, 0.4, SIZE, name="other"))) == set(seen), "stages share the forms"


def test_a_larger_p_cot_only_makes_short_demonstrations_long(task: TokenizedTask) -> None:
    long = [
        {question for question, long in forms(task, batches(task, p_cot, SIZE)) if long}
        for p_cot in (0.0, 0.2, 0.5, 0.9, 1.0)
    ]
    assert [len(some) for some in (long[0], long[-1])] == [0, SIZE]
    assert all(fewer < more for fewer, more in itertools.pairwise(long))
    schedule = MixtureSettings(p_cot=[[0, 0.9], [0.5, 0.2]])
    late = mixture.draw(task, schedule, SIZE, seed=0, name="test", step=0, share=0.7)
    assert set(questions(task, late.long.prompts)) == long[1]


def test_one_batch_may_hold_several_epochs(task: TokenizedTask) -> None:
    batch = mixture.draw(task, MixtureSettings(p_cot=0.4), 3 * SIZE, seed=0, name="test", step=1)
    assert set(Counter(forms(task, [batch])).values()) == {3}


def test_demonstrations_are_gold_and_count_their_real_tokens(task: TokenizedTask) -> None:
    (batch,) = batches(task, 0.4, 1)
    total = 0
    for part, long in ((batch.short, False), (batch.long, True)):
        assert part.prompt_lengths is not None
        assert torch.equal(part.responses, task.gold(part.prompts, long=long))
        for problem in task.problems_of(part.prompts):
            text = task.text_task.prompt(problem), task.text_task.completion(problem, long=long)
            total += len(task.vocabulary.encode("".join(map(str, text)))) + 1
    assert batch.num_tokens == total
    epochs = batches(task, 0.4, SIZE)
    long_share = sum(len(part.long.prompts) for part in epochs) / (SIZE * BATCH)
    assert sum(part.num_tokens for part in epochs) == pytest.approx(
        SIZE * BATCH * task.mean_tokens(long_share), rel=0.1
    )
    assert enough_steps(task, MixtureSettings(p_cot=0.4), BATCH, 10_000) == -(
        -10_000 // (BATCH * task.mean_tokens(0.4))
    )


def test_a_task_that_draws_fresh_prompts_has_no_epochs() -> None:
    task = RunningSum(RunningSumSettings(d=6))
    assert not isinstance(task, Finite)
    batch = mixture.draw(task, MixtureSettings(p_cot=0.0), 9, seed=0, name="test", step=2)
    assert torch.equal(batch.short.prompts, task.prompts(9, stream(0, "test/prompts", 2)))
    assert batch.short.prompt_lengths is None
