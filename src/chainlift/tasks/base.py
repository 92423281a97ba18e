"""The task protocol: a generator of prompts, a writer of gold responses and an exact verifier.

A response is a row of token ids that ends with the first EOS; what follows that EOS is padding (also EOS). Its
*length* counts the tokens before the EOS. A response without EOS is unfinished, and never right. Prompts of a task
have one width; one whose prompts differ in length fills them up on the left with a token of its own.
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
    written: tuple[tuple[str, str], ...] = ()
    """(character of ordinary text, the token of one character that stands for it): of a blank, for example."""

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
        """What stands between tokens in text: nothing where every token is one character."""
        return "" if all(len(token) == 1 for token in self.tokens[:-1]) else " "

    def encode(self, text: str) -> Tensor:
        """Ids (T,) of a text without EOS; ValueError names the first token that is not in the vocabulary.

        Blanks that no token stands for go away, or stand between words where tokens have several characters.
        """
        ids = {token: i for i, token in enumerate(self.tokens[:-1])}
        for character, token in self.written:
            text = text.replace(character, token)
        pieces = text.split() if self.separator else [c for c in text if not c.isspace()]
        unknown = [piece for piece in pieces if piece not in ids]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no token of this task; allowed: {' '.join(ids)}")
        return torch.tensor([ids[piece] for piece in pieces], dtype=torch.long)

    def strings(self, ids: Tensor) -> list[str]:
        """The token strings of ids (T,)."""
        return [self.tokens[i] for i in ids.tolist()]

    def decode(self, ids: Tensor) -> str:
        """The text of ids (T,)."""
        return self.separator.join(self.strings(ids))

    def ordinary(self, text: str) -> str:
        """A text with the characters that its tokens stand for."""
        for character, token in self.written:
            text = text.replace(token, character)
        return text


@dataclass(frozen=True)
class Demonstrations:
    """Prompts (B, T) with responses (B, R) of one form, EOS included; shorter ones are filled up with EOS."""

    prompts: Tensor
    responses: Tensor
    mask: Tensor
    """(B, R) bool: the response's tokens up to its first EOS."""

    @property
    def num_tokens(self) -> int:
        """Prompt and output tokens."""
        return self.prompts.numel() + int(self.mask.sum())


@dataclass(frozen=True)
class Verdict:
    """What the verifier says of N responses; every field has the shape (N,)."""

    answer: Tensor
    """bool: finished, and what it ends with is the right answer, whatever stands before."""
    chain: Tensor
    """bool: the whole response is a gold one, long or short; where chains are not unique, any valid one."""
    finished: Tensor
    """bool: there is an EOS."""
    long: Tensor
    """bool: longer than the short form."""
    length: Tensor
    """int: tokens before EOS."""
    steps: Tensor
    """int: chain steps taken, 0 for a response that is not long."""
    steps_right: Tensor
    """int: chain steps that follow from the prompt and the response's own previous step."""
    digits_right: Tensor | None = None
    """(N, A) bool, of tasks whose answer has A tokens: which of them are right."""

    def take(self, rows: Tensor) -> Verdict:
        """The verdict on these rows (N',) only."""
        taken: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            taken[field.name] = None if value is None else value[rows]
        return Verdict(**taken)

    @staticmethod
    def join(parts: Sequence[Verdict]) -> Verdict:
        """One verdict on all rows, in order."""
        joined: dict[str, Any] = {}
        for field in fields(Verdict):
            values = [getattr(part, field.name) for part in parts]
            joined[field.name] = None if values[0] is None else torch.cat(values)
        return Verdict(**joined)


@runtime_checkable
class Task(Protocol):
    """What a task must offer; everything is vectorized over rows and draws only from the generator given."""

    @property
    def settings(self) -> Settings:
        """The settings that the task was built from."""
        ...

    vocabulary: Vocabulary
    prompt_length: int
    short_length: int
    """Tokens of the short form, of the longest one where they differ; so for the long form."""
    long_length: int
    chance: float
    """Accuracy of a blind guess."""

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """n prompts (n, prompt_length)."""
        ...

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """Gold responses (N, R) with their EOS, R at most long_length + 1 or short_length + 1."""
        ...

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """The verdict on responses (N, R) to prompts (N, prompt_length), row by row."""
        ...


@runtime_checkable
class Demonstrator(Protocol):
    """A task whose demonstrations are not its gold responses: they are drawn, or contain errors."""

    def demonstrate(self, prompts: Tensor, generator: torch.Generator, *, long: bool) -> Tensor:
        """Demonstrated responses, of the shape of gold ones."""
        ...


@runtime_checkable
class HoldsOut(Protocol):
    """A task that keeps some of its prompts from training, so that none has been seen when they are measured."""

    def held_out(self) -> Task:
        """The same task, drawing only prompts that the task itself never draws."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """A task that knows how a chain goes on behind a wrong step: saves time, and no sample depends on it."""

    def resume(self, prompts: Tensor, responses: Tensor, at: Tensor) -> Tensor:
        """Responses (N, R) as they are up to token number `at` (N,), from 0, then right steps built on that one."""
        ...


def has_chains(task: Task) -> bool:
    """Whether the task has long demonstrations: all have, but those that say `has_chains = False`."""
    return getattr(task, "has_chains", True)


def held_out(task: Task) -> Task:
    """The task to measure with: its held-out prompts if it has such, else itself (see freshness.py)."""
    return task.held_out() if isinstance(task, HoldsOut) else task


def prompt_lengths(task: Task, prompts: Tensor) -> Tensor:
    """(N,) tokens of prompts (N, T), without those that fill them up (a task has such if it has a `padding`)."""
    padding = getattr(task, "padding", None)
    if padding is None:
        return torch.full((len(prompts),), prompts.shape[1], device=prompts.device)
    return (prompts != padding).sum(dim=1)


def output_mask(responses: Tensor, eos: int) -> Tensor:
    """(B, R) bool: the tokens of responses (B, R) up to and including the first EOS."""
    is_eos = responses == eos
    return (is_eos.cumsum(dim=1) - is_eos.long()) == 0


def response_lengths(responses: Tensor, eos: int) -> tuple[Tensor, Tensor]:
    """(length, finished) of responses (N, R): tokens before the first EOS, and whether there is one."""
    is_eos = responses == eos
    finished = is_eos.any(dim=1)
    first = is_eos.to(torch.int8).argmax(dim=1)
    return torch.where(finished, first, responses.shape[1]), finished
