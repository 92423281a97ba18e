"""Any reasoning-gym data set as a task: its questions are the prompts, its scorer is the verifier (extra `gym`).

Characters are tokens: printable ASCII, with an open box for the blank and an arrow for the end of a line, so that
recorded texts are unambiguous. Short form: the answer. Long form, if a function makes a chain from an entry: the chain,
the separator and the answer. Questions are padded on the left. A hash of the question decides whether it is held out:
training and RL never draw held-out questions, and measurements draw only them.

The task remembers the data set's entry of each question that it has drawn, because the scorer needs the entry.
"""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from chainlift import references
from chainlift.references import Reference
from chainlift.settings import Settings
from chainlift.tasks.base import EOS, Verdict, Vocabulary, response_lengths
from chainlift.tasks.registry import TASKS, TaskKind
from chainlift.visible import one_line

PAD, BLANK, LINE, ANSWER = "░", "␣", "⏎", "→"
VISIBLE = {" ": BLANK, "\n": LINE}
TOKENS = (*map(chr, range(0x21, 0x7F)), BLANK, LINE, PAD, ANSWER, EOS)
MAX_ENTRIES = 2**17  # remembered
MAX_CHARACTERS = 2**14  # of a text
MAX_EMPTY_DRAWS = 50  # in a row without a question that fits
Entry = dict[str, Any]


class GymSettings(Settings):
    """Settings of reasoning_gym: the data set, and the greatest lengths of its texts; longer texts are not drawn."""

    name: Literal["reasoning_gym"] = "reasoning_gym"
    dataset: str = "chain_sum"
    """Name of the data set in reasoning-gym."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the data set, for example {min_terms: 2, max_terms: 3}."""
    chain: Reference | None = None
    """`package.module:function` that turns an entry into the text of its chain; null: short demonstrations only."""
    question_length: int = Field(default=128, ge=1, le=MAX_CHARACTERS)
    """Most characters of a question."""
    answer_length: int = Field(default=16, ge=1, le=MAX_CHARACTERS)
    """Most characters of an answer."""
    chain_length: int = Field(default=64, ge=1, le=MAX_CHARACTERS)
    """Most characters of a chain."""
    held_out: float = Field(default=0.1, gt=0, lt=1, strict=False)
    """Share of the questions that are held out of training and RL."""


class GymTask:
    """The task reasoning_gym; the module's docstring describes its two forms."""

    def __init__(self, settings: GymSettings) -> None:
        self.settings, self.draws_held_out = settings, False
        self.vocabulary = Vocabulary(TOKENS, tuple(VISIBLE.items()))
        self.padding = TOKENS.index(PAD)
        self.prompt_length = settings.question_length
        self.short_length = settings.answer_length
        self.has_chains = settings.chain is not None
        self.long_length = settings.answer_length + 1 + (settings.chain_length if self.has_chains else 0)
        self.chance = 0.0
        self._ids = {token: i for i, token in enumerate(TOKENS)}
        self._chain: Callable[[Entry], str] | None = references.load(settings.chain) if settings.chain else None
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._scorer = self._dataset(0, 1)

    def held_out(self) -> GymTask:
        """The same task on the held-out questions; both tasks share the remembered entries."""
        held_out_task = copy.copy(self)
        held_out_task.draws_held_out = True
        return held_out_task

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw prompts (n, question_length): questions that fit, padded on the left."""
        rows: list[list[int]] = []
        empty_draws = 0
        while len(rows) < n:
            seed = int(torch.randint(2**31, (1,), generator=generator))
            dataset, num_before = self._dataset(seed, max(n - len(rows), 8)), len(rows)
            for entry in dataset:
                question = _to_tokens(str(entry["question"]))
                if len(rows) < n and self._may_be_drawn(question) and self._fits(question, entry):
                    self._remember(question, entry)
                    ids = self._encode(question)
                    rows.append([self.padding] * (self.prompt_length - len(ids)) + ids)
            empty_draws = empty_draws + 1 if len(rows) == num_before else 0
            if empty_draws == MAX_EMPTY_DRAWS:
                raise ValueError(
                    f"task.dataset: hardly a question of {self.settings.dataset} fits: raise task.question_length "
                    f"({self.prompt_length}), answer_length ({self.short_length}) or chain_length "
                    f"({self.settings.chain_length}); texts must be ASCII"
                )
        return torch.tensor(rows, dtype=torch.long).view(n, self.prompt_length)

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The entry's answer, or its chain, the separator and the answer; padded with EOS, at least one."""
        eos = self.vocabulary.eos
        if long and self._chain is None and len(prompts):
            raise ValueError("task.chain is null: this task has no long demonstrations")
        texts = [self._gold(entry, long=long) for entry in self._entries_of(prompts)]
        width = max((len(text) for text in texts), default=0) + 1
        rows = [self._encode(text) + [eos] * (width - len(text)) for text in texts]
        return torch.tensor(rows, dtype=torch.long, device=prompts.device).view(len(prompts), width)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """The verdict by the data set's scorer: the answer, after the last separator, is right at a score of 1."""
        length, finished = response_lengths(responses, self.vocabulary.eos)
        pairs = zip(self._entries_of(prompts), self._texts(responses, length), strict=True)
        rows = [self._judge(entry, text) for entry, text in pairs]
        columns = torch.tensor(rows, dtype=torch.long, device=responses.device).view(len(rows), 5)
        answer, chain, long, steps, steps_right = columns.unbind(dim=1)
        return Verdict(
            answer_correct=answer.bool() & finished,
            chain_correct=chain.bool() & finished,
            finished=finished,
            long=long.bool(),
            length=length,
            steps=steps,
            steps_right=steps_right,
        )

    def _judge(self, entry: Entry, text: str) -> tuple[bool, bool, bool, int, int]:
        """(answer, chain, long, steps, steps_right) of a response; steps are the characters of its chain."""
        chain, separator, answer = text.rpartition(ANSWER)
        long = self.has_chains and separator != ""
        is_right = self._scorer.score_answer(_to_text(answer), entry) >= 1
        if not long:
            return is_right, is_right and not separator, False, 0, 0
        gold = self._gold(entry, long=True)
        steps_right = sum(step == gold_step for step, gold_step in zip(chain, gold, strict=False))
        return is_right, is_right and text == gold, True, len(chain), steps_right

    def _gold(self, entry: Entry, *, long: bool) -> str:
        """The gold response of an entry, in visible characters and without EOS."""
        answer = _to_tokens(str(entry["answer"]))
        return f"{_to_tokens(self._chain(entry))}{ANSWER}{answer}" if long and self._chain is not None else answer

    def _fits(self, question: str, entry: Entry) -> bool:
        """Whether the entry's texts are short enough and have only characters that are tokens."""
        if entry["answer"] is None:
            return False
        answer = self._gold(entry, long=False)
        chain = self._gold(entry, long=True) if self.has_chains else ""
        allowed = self._ids.keys() - {PAD, EOS}
        return (
            0 < len(question) <= self.prompt_length
            and 0 < len(answer) <= self.short_length
            and len(chain) <= self.long_length
            and set(question + chain + answer) <= allowed
            and ANSWER not in question + answer
        )

    def _may_be_drawn(self, question: str) -> bool:
        """Whether the question is on this task's side of the split, held out or not."""
        digest = hashlib.blake2b(question.encode(), digest_size=8).digest()
        is_held_out = int.from_bytes(digest, "big") / 2**64 < self.settings.held_out
        return is_held_out == self.draws_held_out

    def _dataset(self, seed: int, size: int) -> Any:
        """The data set with `size` entries of a seed."""
        return create_dataset(self.settings.dataset, seed, size, self.settings.options)

    def _remember(self, question: str, entry: Entry) -> None:
        """Keep the entry of a question, and forget the oldest one beyond MAX_ENTRIES."""
        self._entries[question] = entry
        self._entries.move_to_end(question)
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def _entries_of(self, prompts: Tensor) -> list[Entry]:
        """The entry of each prompt; ValueError for a question that this task has not drawn."""
        entries = []
        for row in prompts.tolist():
            question = "".join(TOKENS[i] for i in row if i != self.padding)
            if question not in self._entries:
                raise ValueError("this question was not drawn from the data set, so that its answer is not known")
            entries.append(self._entries[question])
        return entries

    def _texts(self, responses: Tensor, length: Tensor) -> list[str]:
        """The first `length` (N,) tokens of responses (N, R), as texts."""
        rows = zip(responses.tolist(), length.tolist(), strict=True)
        return ["".join(TOKENS[i] for i in row[:count]) for row, count in rows]

    def _encode(self, text: str) -> list[int]:
        """Token ids of a text in visible characters."""
        return [self._ids[character] for character in text]


def create_dataset(name: str, seed: int, size: int, options: Mapping[str, Any] | None = None) -> Any:
    """A data set of reasoning-gym; ValueError in one line if the package, the name or an option is unknown."""
    try:
        import reasoning_gym
    except ImportError as error:
        raise ValueError("reasoning-gym is missing: pip install 'chainlift[gym]'") from error
    try:
        return reasoning_gym.create_dataset(name, seed=seed, size=size, **(options or {}))
    except (ValueError, TypeError, AssertionError, KeyError) as error:
        reason = one_line(str(error))
        raise ValueError(f"reasoning-gym cannot make the data set {name!r}: {reason}") from error


def _to_tokens(text: str) -> str:
    """The text with visible characters for blanks and ends of lines."""
    return "".join(VISIBLE.get(character, character) for character in text)


def _to_text(text: str) -> str:
    """The inverse of _to_tokens."""
    return text.replace(BLANK, " ").replace(LINE, "\n")


TASKS.register("reasoning_gym", TaskKind(GymSettings, GymTask), shipped=True)
