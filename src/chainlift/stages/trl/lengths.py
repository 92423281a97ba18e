"""Mean numbers of tokens of a recipe's prompts and completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainlift.models.pretrained import loading
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.generation import num_tokens
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask
from chainlift.text.templates import content

COUNTED_PROBLEMS = 500
TOKENS_PER_WORD = 1.5  # if the tokenizer is not available


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of prompts, and of short and long completions with the end of sequence."""

    prompt: float
    short: float
    long: float


def mean_lengths(task: TextTask, model: PretrainedSettings, problems: Sequence[Problem]) -> tuple[Lengths, str]:
    """(mean tokens, their source): counted if the tokenizer is available, else estimated from words."""
    some = problems[:COUNTED_PROBLEMS]
    texts = [
        [content(task.prompt(problem)) for problem in some],
        *([content(task.completion(problem, long=long)) for problem in some] for long in (False, True)),
    ]
    tokenizer = _tokenizer(model, [text for group in texts for text in group])
    if tokenizer is None:
        sizes = [sum(len(text.split()) for text in group) / len(group) * TOKENS_PER_WORD for group in texts]
        source = f"{TOKENS_PER_WORD} tokens a word, as the tokenizer is not available"
    else:
        prompts = num_tokens([task.prompt(problem) for problem in some], tokenizer)
        sizes = [sum(prompts) / len(some), *(sum(num_tokens(group, tokenizer)) / len(group) for group in texts[1:])]
        source = f"counted in {len(some)} problems"
    return Lengths(sizes[0], sizes[1] + 1, sizes[2] + 1), source


def _tokenizer(model: PretrainedSettings, texts: list[str]) -> Any:
    """The model's tokenizer; None if it would have to be downloaded."""
    loading.require_llm_extra()
    if model.scratch is not None:
        from chainlift.text import tokenizer as vocabulary

        return vocabulary.train(texts, model.scratch.vocabulary)
    try:
        return loading.open_tokenizer(model.path or "", model.gguf_file)
    except ValueError:
        return None
