"""Texts become tokens: prompt and response are cut apart where they meet, and what cannot be read is refused."""

from dataclasses import replace

import pytest
import torch
from tokenizers import processors

from chainlift.seeding import stream
from chainlift.tasks.contract import complaint
from chainlift.text import tokenizer as byte_pairs
from chainlift.text.sources.word_problems import WordProblems, WordProblemSettings
from chainlift.text.templates import content
from chainlift.text.tokenized import TokenizedTask
from tests.text.trained_tokenizer import SIZES, trained_tokenizer


def test_a_token_over_the_end_of_the_prompt_is_avoided() -> None:
    """The template ends in a sign with which the answer's mark would make one token."""
    settings = WordProblemSettings.model_validate(SIZES | {"template": {"template": "chat"}})
    text_task = WordProblems(settings)
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %} A:"
    texts = [f"{content(text_task.prompt(p))} A:#### {p.answer}" for p in text_task.problems[0]]
    tokenizer = byte_pairs.train(texts, 512)
    assert len(tokenizer(" A:####")["input_ids"]) < len(tokenizer(" A:")["input_ids"]) + len(
        tokenizer("####")["input_ids"]
    )
    tokenizer.chat_template = template
    task = TokenizedTask(text_task, tokenizer)
    assert complaint(task) is None
    prompt = task.prompts(task.num_problems, stream(0, "test"))[:1]
    assert task.vocabulary.decode(prompt[0]).endswith(" A:")
    assert task.vocabulary.decode(task.gold(prompt, long=False)[0][:-1]).startswith("####")


def test_a_prompt_that_would_be_masked_is_refused() -> None:
    settings = WordProblemSettings.model_validate(SIZES | {"template": {"plain_prompt": "<pad>{question}"}})
    text_task = WordProblems(settings)
    with pytest.raises(ValueError, match="begins with the tokenizer's padding token"):
        TokenizedTask(text_task, trained_tokenizer(text_task)).num_train  # noqa: B018 (reading it tokenizes)


@pytest.mark.parametrize("long", [True, False])
def test_an_end_of_sequence_inside_a_response_is_refused(long: bool) -> None:
    text_task = WordProblems(WordProblemSettings.model_validate(SIZES))
    tokenizer = trained_tokenizer(text_task)
    train, test = text_task.problems
    inside = replace(train[3], **{"solution" if long else "answer": f"12 {tokenizer.eos_token} 3"})
    vars(text_task)["problems"] = ([*train[:3], inside], test)
    with pytest.raises(ValueError, match=r"holds the text '<eos>', which ends a sequence"):
        TokenizedTask(text_task, tokenizer).num_train  # noqa: B018 (reading it tokenizes)


@pytest.mark.parametrize("template", ["{{ raise_exception('no system message') }}", "{% for %}"])
def test_a_chat_template_that_fails_is_one_line(template: str) -> None:
    """Those of Gemma and of the first Mistral refuse a system message."""
    text_task = WordProblems(WordProblemSettings.model_validate(SIZES | {"template": {"template": "chat"}}))
    tokenizer = trained_tokenizer(text_task)
    tokenizer.chat_template = template
    with pytest.raises(ValueError, match=r"^task\.template: this model's chat template fails: .*") as caught:
        _ = TokenizedTask(text_task, tokenizer).num_problems
    assert len(str(caught.value).splitlines()) == 1


def test_an_end_of_sequence_that_the_tokenizer_adds_ends_no_prompt() -> None:
    """Llama's tokenizers have the option add_eos_token; the model would be asked to go on after the end."""
    text_task = WordProblems(WordProblemSettings.model_validate(SIZES))
    tokenizer = trained_tokenizer(text_task)
    expected = TokenizedTask(text_task, tokenizer)
    before = [expected.train_prompts(torch.arange(60)), *(expected._splits.train.forms(long=x) for x in (False, True))]
    end = (tokenizer.eos_token, tokenizer.eos_token_id)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end[0]}", special_tokens=[end]
    )
    assert tokenizer("x")["input_ids"][-1] == end[1]
    task = TokenizedTask(text_task, tokenizer)
    after = [task.train_prompts(torch.arange(60)), *(task._splits.train.forms(long=x) for x in (False, True))]
    assert all(torch.equal(a, b) for x, y in zip(before, after, strict=True) for a, b in zip(x, y, strict=True))
