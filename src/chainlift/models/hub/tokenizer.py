"""A task's vocabulary as a tokenizer of transformers that reads ordinary text just as `Vocabulary.encode` does.

All that happens to a text stands in tokenizer.json, so that it happens wherever that file is read: ordinary characters
get the tokens that stand for them, other blanks go away, and a prompt that is shorter than the task's longest one is
filled up on the left. The filling is tokens like others to the model: it is attended to and has positions, so that
the padding of transformers, which is masked, would not do. A text longer than a prompt (with its response, as trainers
tokenize it) is not filled. Any other character becomes `<eos>`, as in GPT-2: there is no token without a meaning.
"""

from __future__ import annotations

import re
from typing import Any

from chainlift.tasks.base import Task, Vocabulary

BLANKS = r"[\s\x1c-\x1f]+"  # what str.isspace takes for blanks


def tokenizer(task: Task) -> dict[str, Any]:
    """tokenizer.json: one token a character, or a word where tokens have several characters."""
    vocabulary = task.vocabulary
    by_character = vocabulary.separator == ""
    split = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
    shown = [_replace({"String": token}, character) for character, token in vocabulary.substitutions]
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
        "normalizer": {"type": "Sequence", "normalizers": [*_spelled(vocabulary), *_filled(task)]},
        "pre_tokenizer": split if by_character else {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [*shown, {"type": "Fuse"}]} if by_character else None,
        "model": {
            "type": "WordLevel",
            "vocab": {token: i for i, token in enumerate(vocabulary.tokens)},
            "unk_token": vocabulary.tokens[-1],
        },
    }


def tokenizer_config(task: Task, context: int) -> dict[str, Any]:
    """tokenizer_config.json; `context`: positions of the model."""
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


def _spelled(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """Normalizers that write ordinary text in the vocabulary's characters."""
    if vocabulary.separator:
        return [_replace({"Regex": BLANKS}, " "), {"type": "Strip", "strip_left": True, "strip_right": True}]
    written = [_replace({"String": character}, token) for character, token in vocabulary.substitutions]
    return [*written, _replace({"Regex": BLANKS}, "")]


def _filled(task: Task) -> list[dict[str, Any]]:
    """Normalizers that fill a prompt up on the left, if the task has a token for it.

    As many of these tokens as a prompt has are put before any text; then as many are taken away as leave the length of
    a prompt, or all of them where the text is longer than that.
    """
    padding, length = getattr(task, "padding", None), task.prompt_length
    if padding is None:
        return []
    fill = task.vocabulary.tokens[padding] + task.vocabulary.separator
    rest = rf"\S+(?: \S+){{{length - 1}}}\z" if task.vocabulary.separator else rf".{{{length}}}\z"
    one = f"(?:{re.escape(fill)})"
    return [
        {"type": "Prepend", "prepend": fill * length},
        _replace({"Regex": rf"\A{one}{{1,{length}}}(?={rest})|\A{one}{{{length}}}"}, ""),
    ]


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}
