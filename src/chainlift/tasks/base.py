"""The task protocol: a generator of prompts, a writer of gold responses and an exact verifier.

A response is a row of token ids that ends with its first EOS; the tokens after that are padding (also EOS). Its
*length* counts the tokens before the EOS. A response without EOS is unfinished, and never right. All prompts of a task
have one width; a task whose prompts differ in length pads them on the left with a token of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from chainlift.settings import Settings

EOS = "<eos>"


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a task, by id; the last one is `<eos>`."""

    tokens: tuple[str, ...]
    substitutions: tuple[tuple[str, str], ...] = ()
    """Pairs (character of ordinary text, token of one character that stands for it): for a blank, for example."""

    @property
    def size(self) -> int:
        """Number of tokens, EOS included."""
        return len(self.tokens)

    @property
    def eos(self) -> int:
        """Id of the end-of-sequence token."""
        return len(self.tokens) - 1

    @property
    def separator(self) -> str:
        """The text between two tokens: empty if every token is one character, otherwise a blank."""
        return "" if all(len(token) == 1 for token in self.tokens[:-1]) else " "

    def encode(self, text: str) -> Tensor:
        """Ids (T,) of a text without EOS; ValueError names the first token that is not in the vocabulary.

        Blanks separate tokens of several characters. Between tokens of one character they are dropped, unless a token
        stands for them.
        """
        ids = {token: i for i, token in enumerate(self.tokens[:-1])}
        for character, token in self.substitutions:
            text = text.replace(character, token)
        pieces = text.split() if self.separator else [c for c in text if not c.isspace()]
        unknown = [piece for piece in pieces if piece not in ids]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not a token of this task; allowed: {' '.join(ids)}")
        return torch.tensor([ids[piece] for piece in pieces], dtype=torch.long)

    def strings(self, ids: Tensor) -> list[str]:
        """The token strings of ids (T,)."""
        return [self.tokens[i] for i in ids.tolist()]

    def decode(self, ids: Tensor) -> str:
        """The text of ids (T,)."""
        return self.separator.join(self.strings(ids))

    def plain_text(self, text: str) -> str:
        """The text with the ordinary characters that its tokens stand for (`substitutions`)."""
        for character, token in self.substitutions:
            text = text.replace(token, character)
        return text


@dataclass(frozen=True)
class Demonstrations:
    """Prompts (B, T) with responses (B, R) of one form, EOS included; shorter responses are padded with EOS."""

    prompts: Tensor
    responses: Tensor
    mask: Tensor
    """(B, R) bool: the response's tokens up to its first EOS."""
    prompt_lengths: Tensor | None = None
    """(B,) prompt tokens without padding that models mask; None: there is no such padding."""

    @property
    def num_tokens(self) -> int:
        """Prompt and output tokens."""
        num_prompt_tokens = self.prompts.numel() if self.prompt_lengths is None else int(self.prompt_lengths.sum())
        return num_prompt_tokens + int(self.mask.sum())


@dataclass(frozen=True)
class Verdict:
    """The verifier's judgment of N responses; every field has the shape (N,)."""

    answer_correct: Tensor
    """bool: the response is finished and ends with the right answer, whatever stands before it."""
    chain_correct: Tensor
    """bool: the whole response is gold, long or short; where chains are not unique, it is any valid one."""
    finished: Tensor
    """bool: the response has an EOS."""
    long: Tensor
    """bool: longer than the short form."""
    length: Tensor
    """int: tokens before EOS."""
    steps: Tensor
    """int: steps of the chain, 0 for a response that is not long."""
    steps_right: Tensor
    """int: steps of the chain that follow from the prompt and the response's own previous step."""
    digits_right: Tensor | None = None
    """(N, A) bool, for tasks whose answers have A tokens: which of them are right."""

    def take(self, rows: Tensor) -> Verdict:
        """The verdict on some rows (N',)."""
        selected: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            selected[field.name] = None if value is None else value[rows]
        return Verdict(**selected)

    @staticmethod
    def join(parts: Sequence[Verdict]) -> Verdict:
        """The verdict on the rows of all parts, in order."""
        joined: dict[str, Any] = {}
        for field in fields(Verdict):
            values = [getattr(part, field.name) for part in parts]
            joined[field.name] = None if values[0] is None else torch.cat(values)
        return Verdict(**joined)


@runtime_checkable
class Task(Protocol):
    """The protocol of tasks of tokens; methods work on whole batches and draw only from the generator passed in."""

    @property
    def settings(self) -> Settings:
        """The settings from which the task was built."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of prompts and responses."""
        ...

    @property
    def prompt_length(self) -> int:
        """Tokens of a prompt."""
        ...

    @property
    def short_length(self) -> int:
        """Tokens of the longest short response, without EOS."""
        ...

    @property
    def long_length(self) -> int:
        """Tokens of the longest long response, without EOS."""
        ...

    @property
    def chance(self) -> float:
        """Accuracy of a blind guess."""
        ...

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n prompts (n, prompt_length)."""
        ...

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """Gold responses (N, R) with EOS; R is at most long_length + 1, or short_length + 1."""
        ...

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """The verdict on responses (N, R) to prompts (N, prompt_length), row by row."""
        ...


@runtime_checkable
class Demonstrator(Protocol):
    """A task whose demonstrations differ from its gold responses: they are drawn, or contain errors."""

    def demonstrate(self, prompts: Tensor, generator: torch.Generator, *, long: bool) -> Tensor:
        """Draw demonstrated responses, shaped like gold ones."""
        ...


@runtime_checkable
class HoldsOut(Protocol):
    """A task that holds some prompts out of training, so that measurements use only prompts that training never saw."""

    def held_out(self) -> Task:
        """The same task on its held-out prompts, which the task itself never draws."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """A task that can continue a chain after a wrong step. This saves time in sampling and changes no sample."""

    def resume(self, prompts: Tensor, responses: Tensor, at: Tensor) -> Tensor:
        """Responses (N, R) unchanged up to token number `at` (N,), from 0, followed by right steps built on it."""
        ...


@runtime_checkable
class Opens(Protocol):
    """A task whose long responses may begin with tokens of their own."""

    opening: Tensor
    """(O,) the tokens with which every long response begins and no short one does; empty if there are none."""


def has_chains(task: Task) -> bool:
    """Whether the task has long demonstrations: every task has, unless it sets `has_chains = False`."""
    return getattr(task, "has_chains", True)


def held_out(task: Task) -> Task:
    """The task to measure with: the one on held-out prompts if there is one, else the task itself (freshness.py)."""
    return task.held_out() if isinstance(task, HoldsOut) else task


def output_mask(responses: Tensor, eos: int) -> Tensor:
    """Mask (B, R) of the tokens of responses (B, R) up to and including the first EOS."""
    is_eos = responses == eos
    return (is_eos.cumsum(dim=1) - is_eos.long()) == 0


def response_lengths(responses: Tensor, eos: int) -> tuple[Tensor, Tensor]:
    """(length, finished) of responses (N, R): tokens before the first EOS, and whether there is one."""
    is_eos = responses == eos
    finished = is_eos.any(dim=1)
    first = is_eos.to(torch.int8).argmax(dim=1)
    return torch.where(finished, first, responses.shape[1]), finished
