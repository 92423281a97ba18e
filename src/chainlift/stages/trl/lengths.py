"""How many tokens a recipe's prompts and completions have on average."""

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

MEASURED = 500  # problems whose tokens are counted
WORDS_TO_TOKENS = 1.5  # where there is no tokenizer at hand


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of prompts, and of short and long completions, the end of sequence among them."""

    prompt: float
    short: float
    long: float


def mean_lengths(task: TextTask, model: PretrainedSettings, problems: Sequence[Problem]) -> tuple[Lengths, str]:
    """(mean tokens, where they come from): counted where the tokenizer is available, else from words."""
    some = problems[:MEASURED]
    texts = [
        [content(task.prompt(problem)) for problem in some],
        *([content(task.completion(problem, long=long)) for problem in some] for long in (False, True)),
    ]
    tokenizer = _tokenizer(model, [text for of in texts for text in of])
    if tokenizer is None:
        sizes = [sum(len(text.split()) for text in of) / len(of) * WORDS_TO_TOKENS for of in texts]
        told = f"{WORDS_TO_TOKENS} tokens a word, as the tokenizer is not at hand"
    else:
        prompts = num_tokens([task.prompt(problem) for problem in some], tokenizer)
        sizes = [sum(prompts) / len(some), *(sum(num_tokens(of, tokenizer)) / len(of) for of in texts[1:])]
        told = f"counted in {len(some)} problems"
    return Lengths(sizes[0], sizes[1] + 1, sizes[2] + 1), told


def _tokenizer(model: PretrainedSettings, texts: list[str]) -> Any:
    """The model's tokenizer if that costs no download, else None."""
    loading.require_llm_extra()
    if model.scratch is not None:
        from chainlift.text import tokenizer as vocabulary

        return vocabulary.train(texts, model.scratch.vocabulary)
    try:
        return loading.open_tokenizer(model.path or "", model.gguf_file)
    except ValueError:
        return None
