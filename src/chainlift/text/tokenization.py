"""Tokenization of problems: prompts padded on the left, and both forms of their responses with an end of sequence.

A demonstration is tokenized as one text, as at generation its prompt is followed by what the model writes. If a token
goes over the end of the prompt, the completion is tokenized alone instead. Chats follow the tokenizer's template up to
the assistant's message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from chainlift.text.problem import Problem
from chainlift.text.task import TextTask
from chainlift.text.templates import Text, content
from chainlift.visible import one_line

COMPARED = 256  # demonstrations that are tokenized as one text and in two parts
TEXTS_AT_ONCE = 1024  # bounds the memory of what a tokenizer returns beside the ids


@dataclass(frozen=True)
class TokenizedProblems:
    """n problems with the tokens of their prompts and of both forms of their responses."""

    problems: list[Problem]
    prompts: Tensor
    """(n, T), padded on the left."""
    lengths: Tensor
    """(n,) tokens of the prompts without padding."""
    short: list[Tensor]
    """n short responses, each with its end of sequence."""
    long: list[Tensor]
    """n long ones."""
    rows: dict[bytes, int]
    """{the bytes of a prompt without padding: its first problem}."""
    num_left_out: int
    """Number of problems that were left out because a response was too long."""

    def forms(self, *, long: bool) -> list[Tensor]:
        """The responses of one form."""
        return self.long if long else self.short


def prompt_text(prompt: Text, tokenizer: Any) -> str:
    """The text of a prompt before tokenization; ValueError for a chat if the tokenizer has no chat template."""
    if isinstance(prompt, str):
        return prompt
    if not tokenizer.chat_template:
        raise ValueError(
            "task.template.template: this model's tokenizer has no chat template; use task.template.template=plain"
        )
    try:
        return tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # templates are programs, and some refuse a system message
        raise ValueError(f"task.template: this model's chat template fails: {one_line(str(error))}") from error


def adds_special(prompts: Sequence[Text]) -> bool:
    """Whether the tokenizer adds special tokens; chat templates contain the beginning of a sequence already."""
    return not prompts or isinstance(prompts[0], str)


def tokenize(task: TextTask, problems: Sequence[Problem], tokenizer: Any) -> TokenizedProblems:
    """Tokenize problems of a task, with responses of any length."""
    prompts = [task.prompt(problem) for problem in problems]
    texts, special = [prompt_text(prompt, tokenizer) for prompt in prompts], adds_special(prompts)
    prompt_ids = list(_ids(texts, tokenizer, special=special))
    if any(ids[:1] in ([], [tokenizer.pad_token_id]) for ids in prompt_ids):
        raise ValueError("a prompt is empty, or begins with the tokenizer's padding token, which would not be read")
    forms: list[list[Tensor]] = []
    for long in (False, True):
        completions = [content(task.completion(problem, long=long)) for problem in problems]
        responses = _responses(texts, prompt_ids, completions, tokenizer, special=special)
        _check_ends(responses, problems, tokenizer)
        forms.append([torch.tensor(response) for response in responses])
    lengths = torch.tensor([len(ids) for ids in prompt_ids])
    width = int(lengths.max())
    padded = torch.tensor([[tokenizer.pad_token_id] * (width - len(ids)) + ids for ids in prompt_ids])
    return TokenizedProblems(list(problems), padded, lengths, forms[0], forms[1], _rows(padded, lengths), 0)


def shortened(tokenized: TokenizedProblems, max_tokens: int) -> TokenizedProblems:
    """The problems with the first max_tokens tokens of each response; what is too long has no end."""
    short, long = ([response[:max_tokens] for response in tokenized.forms(long=form)] for form in (False, True))
    return replace(tokenized, short=short, long=long)


def fitting(tokenized: TokenizedProblems, max_tokens: int) -> TokenizedProblems:
    """The problems whose responses have at most max_tokens tokens; ValueError if there are none."""
    short, long, n = tokenized.short, tokenized.long, len(tokenized.problems)
    kept = [i for i in range(n) if max(len(short[i]), len(long[i])) <= max_tokens]
    if not kept:
        raise ValueError(f"task.max_tokens: none of {n} training problems has a solution that short")
    if len(kept) == n:
        return tokenized
    lengths = tokenized.lengths[kept]
    prompts = tokenized.prompts[kept, tokenized.prompts.shape[1] - int(lengths.max()) :]
    return TokenizedProblems(
        [tokenized.problems[i] for i in kept],
        prompts,
        lengths,
        [short[i] for i in kept],
        [long[i] for i in kept],
        _rows(prompts, lengths),
        n - len(kept),
    )


def _rows(prompts: Tensor, lengths: Tensor) -> dict[bytes, int]:
    """{key of a prompt: its first row} of prompts (n, T) with `lengths` (n,) tokens."""
    rows: dict[bytes, int] = {}
    for row, length in enumerate(lengths.tolist()):
        rows.setdefault(key(prompts[row, prompts.shape[1] - length :]), row)
    return rows


def key(prompt: Tensor) -> bytes:
    """The bytes of a prompt (T,) without padding, by which its problem is found."""
    return prompt.numpy().tobytes()


def _responses(
    texts: Sequence[str], prompt_ids: Sequence[list[int]], completions: Sequence[str], tokenizer: Any, *, special: bool
) -> list[list[int]]:
    """Token ids of completions with an end of sequence, each as the tokenizer writes it after its prompt.

    Prompts of a template end alike and its completions begin alike. So if the first ones are as when tokenized alone,
    all are, and prompts need not be tokenized again.
    """
    alone = list(_ids(completions, tokenizer, special=False))
    joint = _joint(texts[:COMPARED], prompt_ids, completions, tokenizer, special=special)
    if joint != alone[: len(joint)]:
        joint = _joint(texts, prompt_ids, completions, tokenizer, special=special)
        alone = [ids if row is None else row for ids, row in zip(alone, joint, strict=True)]
    return [[*ids, tokenizer.eos_token_id] for ids in alone]


def _check_ends(responses: Sequence[list[int]], problems: Sequence[Problem], tokenizer: Any) -> None:
    """ValueError if a response has an end of sequence before its last token: all behind it would never be learned."""
    for response, problem in zip(responses, problems, strict=True):
        if tokenizer.eos_token_id in response[:-1]:
            raise ValueError(
                f"the solution or answer to {problem.question[:60]!r} holds the text {tokenizer.eos_token!r}, "
                "which ends a sequence; take it out of the data"
            )


def _joint(
    texts: Sequence[str], prompt_ids: Sequence[list[int]], completions: Sequence[str], tokenizer: Any, *, special: bool
) -> list[list[int] | None]:
    """Token ids that follow each prompt's where both are tokenized as one text; None if the prompt's change."""
    both = _ids([text + end for text, end in zip(texts, completions, strict=False)], tokenizer, special=special)
    return [
        ids[len(prompt) :] if ids[: len(prompt)] == prompt else None
        for prompt, ids in zip(prompt_ids, both, strict=False)
    ]


def _ids(texts: Sequence[str], tokenizer: Any, *, special: bool) -> Iterator[list[int]]:
    """Token ids of each text, some texts at once, without the end of sequence that some tokenizers add."""
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        some = list(texts[start : start + TEXTS_AT_ONCE])
        for ids in tokenizer(some, add_special_tokens=special, return_attention_mask=False)["input_ids"]:
            yield ids[:-1] if special and ids[-1:] == [tokenizer.eos_token_id] else ids
