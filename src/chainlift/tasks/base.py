"""The task protocol: a generator of prompts, a writer of gold responses and an exact verifier.

A response is a row of token ids that ends with the first EOS; what follows that EOS is padding (also EOS). Its
*length* counts the tokens before the EOS. A response without EOS is unfinished, and never right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from chainlift.settings import Settings

EOS = "<eos>"


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a task, by id; the last one is `<eos>`."""

    tokens: tuple[str, ...]

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
        """Ids (T,) of a text without EOS; ValueError names the first token that is not in the vocabulary."""
        ids = {token: i for i, token in enumerate(self.tokens[:-1])}
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


@dataclass(frozen=True)
class Demonstrations:
    """Prompts (B, T) with gold responses (B, R), all of one form and so of one length; EOS included."""

    prompts: Tensor
    responses: Tensor


@dataclass(frozen=True)
class Verdict:
    """What the verifier says of N responses; every field has the shape (N,)."""

    answer: Tensor
    """bool: finished, and the last token before EOS is the right answer."""
    chain: Tensor
    """bool: the whole response is a gold one, long or short."""
    finished: Tensor
    """bool: there is an EOS."""
    long: Tensor
    """bool: longer than the short form."""
    length: Tensor
    """int: tokens before EOS."""
    steps: Tensor
    """int: chain steps taken, 0 for a response that is not long."""
    steps_right: Tensor
    """int: chain steps that follow from the prompt and the response's own previous token."""


@runtime_checkable
class Task(Protocol):
    """What a task must offer; everything is vectorised over rows and draws only from the generator given."""

    @property
    def settings(self) -> Settings:
        """The settings that the task was built from."""
        ...

    vocabulary: Vocabulary
    prompt_length: int
    short_length: int
    long_length: int
    modulus: int
    """Number of equally likely answers: the chance level of a blind guess is 1 / modulus."""

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """Fresh prompts (n, prompt_length)."""
        ...

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """Gold responses (N, long_length + 1 or short_length + 1) with their EOS."""
        ...

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """The verdict on responses (N, R) to prompts (N, prompt_length), row by row."""
        ...


def response_lengths(responses: Tensor, eos: int) -> tuple[Tensor, Tensor]:
    """(length, finished) of responses (N, R): tokens before the first EOS, and whether there is one."""
    is_eos = responses == eos
    finished = is_eos.any(dim=1)
    first = is_eos.to(torch.int8).argmax(dim=1)
    return torch.where(finished, first, responses.shape[1]), finished


_TASKS: dict[str, tuple[type[Settings], Callable[[Any], Task]]] = {}


def register(name: str, settings: type[Settings], build: Callable[[Any], Task]) -> None:
    """Make a task known under `name`: its strict settings, and how to build it from them."""
    _TASKS[name] = (settings, build)


def _load(name: str) -> tuple[type[Settings], Callable[[Any], Task]]:
    """The registered task, its plug-in module imported if need be."""
    if not isinstance(name, str):
        raise ValueError(f"name must be one of {', '.join(names())} (got {name!r})")
    if name not in _TASKS:
        for point in entry_points(group="chainlift.tasks"):
            if point.name == name:
                point.load()  # importing the module registers the task
    if name not in _TASKS:
        raise ValueError(f"task {name!r} is not known; known: {', '.join(names())}")
    return _TASKS[name]


def names() -> list[str]:
    """The names of all tasks: shipped ones and those that installed packages plug in."""
    return sorted(set(_TASKS) | {point.name for point in entry_points(group="chainlift.tasks")})


def settings_class(name: str) -> type[Settings]:
    """The settings class of the task `name`; ValueError with the known names if there is none."""
    return _load(name)[0]


def build(settings: Settings) -> Task:
    """The task that its settings describe (their field `name` chooses it)."""
    return _load(getattr(settings, "name"))[1](settings)  # noqa: B009 (plug-in settings are typed elsewhere)
