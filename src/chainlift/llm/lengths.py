"""How many tokens a recipe's prompts and completions have on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainlift.llm import models
from chainlift.llm.generation import prompt_text
from chainlift.llm.problem import Problem
from chainlift.llm.recipe import LlmRecipe
from chainlift.llm.templates import completion, content, prompt

MEASURED = 500  # problems whose tokens are counted
WORDS_TO_TOKENS = 1.5  # where there is no tokenizer at hand


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of prompts, and of short and long completions, the end of sequence among them."""

    prompt: float
    short: float
    long: float


def mean_lengths(recipe: LlmRecipe, problems: Sequence[Problem]) -> tuple[Lengths, str]:
    """(mean tokens, where they come from): counted where the tokenizer is at hand, else from words."""
    some = problems[:MEASURED]
    template = recipe.template
    texts = [
        [content(prompt(one, template)) for one in some],
        *([content(completion(one, template, long=long)) for one in some] for long in (False, True)),
    ]
    tokenizer = _tokenizer(recipe, [text for of in texts for text in of])
    if tokenizer is None:
        sizes = [sum(len(text.split()) for text in of) / len(of) * WORDS_TO_TOKENS for of in texts]
        told = f"{WORDS_TO_TOKENS} tokens a word, as the tokenizer is not at hand"
    else:
        asked = [prompt_text(prompt(one, template), tokenizer) for one in some]
        sizes = [sum(map(len, tokenizer(of)["input_ids"])) / len(of) for of in (asked, *texts[1:])]
        told = f"counted in {len(some)} problems"
    return Lengths(sizes[0], sizes[1] + 1, sizes[2] + 1), told


def _tokenizer(recipe: LlmRecipe, texts: list[str]) -> Any:
    """The model's tokenizer if that costs no download, else None."""
    models.need_extra()
    if recipe.model.scratch is not None:
        from chainlift.llm import vocabulary

        return vocabulary.train(texts, recipe.model.scratch.vocabulary)
    try:
        return models.open_tokenizer(recipe.model.path or "", recipe.model.gguf_file)
    except ValueError:
        return None
