"""A task's vocabulary as a tokenizer of the library transformers that encodes text exactly as `Vocabulary.encode` does.

tokenizer.json holds all rules, so every program that reads the file applies them. Ordinary characters become the tokens
that stand for them, other blanks are removed, and a prompt shorter than the task's longest one is padded on the left.
The model attends to this padding, which has positions as other tokens do; the padding of transformers is masked and
would not work. A text longer than a prompt (a prompt with its response, as trainers tokenize it) is not padded. Any
other character becomes `<eos>`, as in GPT-2, because every token has a meaning.
"""

from __future__ import annotations

import re
from typing import Any

from chainlift.tasks.base import Task, Vocabulary

BLANKS = r"[\s\x1c-\x1f]+"  # the characters for which str.isspace is true


def tokenizer(task: Task) -> dict[str, Any]:
    """The content of tokenizer.json: one token per character, or per word if tokens have several characters."""
    vocabulary = task.vocabulary
    by_character = vocabulary.separator == ""
    split = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
    decoders = [_replace({"String": token}, character) for character, token in vocabulary.substitutions]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": vocabulary.eos,
                "content": vocabulary.tokens[-1],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "normalizer": {"type": "Sequence", "normalizers": [*_spelling(vocabulary), *_padding(task)]},
        "pre_tokenizer": split if by_character else {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [*decoders, {"type": "Fuse"}]} if by_character else None,
        "model": {
            "type": "WordLevel",
            "vocab": {token: i for i, token in enumerate(vocabulary.tokens)},
            "unk_token": vocabulary.tokens[-1],
        },
    }


def tokenizer_config(task: Task, context: int) -> dict[str, Any]:
    """The content of tokenizer_config.json for a model of `context` positions."""
    eos = task.vocabulary.tokens[-1]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",  # verl sends chats
        "eos_token": eos,
        "pad_token": eos,
        "unk_token": eos,
        "padding_side": "left",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }


def _spelling(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """Normalizers that write ordinary text in the vocabulary's characters."""
    if vocabulary.separator:
        return [_replace({"Regex": BLANKS}, " "), {"type": "Strip", "strip_left": True, "strip_right": True}]
    written = [_replace({"String": character}, token) for character, token in vocabulary.substitutions]
    return [*written, _replace({"Regex": BLANKS}, "")]


def _padding(task: Task) -> list[dict[str, Any]]:
    """Normalizers that pad a prompt on the left, if the task has a padding token.

    The first prepends as many padding tokens as a prompt is long. The second removes as many as leave the length of a
    prompt, or all of them if the text is longer than a prompt.
    """
    padding, length = getattr(task, "padding", None), task.prompt_length
    if padding is None:
        return []
    fill = task.vocabulary.tokens[padding] + task.vocabulary.separator
    rest = rf"\S+(?: \S+){{{length - 1}}}\z" if task.vocabulary.separator else rf".{{{length}}}\z"
    pad = f"(?:{re.escape(fill)})"
    return [
        {"type": "Prepend", "prepend": fill * length},
        _replace({"Regex": rf"\A{pad}{{1,{length}}}(?={rest})|\A{pad}{{{length}}}"}, ""),
    ]


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}
