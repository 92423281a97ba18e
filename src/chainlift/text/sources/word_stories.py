"""Stories of generated word problems, in the words and sentences of a language (word_languages.py).

A story follows one count. Each event changes the count by one operation, and the solution has one line for each event.
The person whose count is followed may change ("Now Ben has twice as many apples as Anna."), and the things may be sold
for coins. Stories use only sentences from their language, so their vocabulary is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeVar

Sign = Literal["+", "-", "*", "/"]
Change = Literal["none", "person", "thing"]
Item = TypeVar("Item")

Noun = tuple[str, str]
"""Singular and plural."""
LARGEST_FACTOR = 10
BOXES_SHARE, TOTAL_SHARE = 0.25, 0.5
"""How often a story begins with boxes, and how often it ends with a total if it may."""
HAS = "{who} has {before} {sign} {n} = {after} {result}."
OTHER_HAS = "{other} has {before} {sign} {n} = {after} {result}."
GETS = "{who} gets {before} {sign} {n} = {after} {result}."
TOTAL = "Together they have {before} + {n} = {after} {result}."
"""Lines of solutions, the same in all languages."""


@dataclass(frozen=True)
class Event:
    """An event of a story: one operation on the count."""

    sign: Sign
    sentences: tuple[str, ...]
    """Sentences of the question, one of which is drawn."""
    line: str
    """Line of the solution."""
    change: Change = "none"
    """Whether the story follows another person's count from here on, or coins instead of the things."""


@dataclass(frozen=True)
class Language:
    """The words and sentences of stories, and how the question is put together."""

    people: tuple[str, ...]
    things: tuple[Noun, ...]
    coin: Noun
    """What things are sold for."""
    events: tuple[Event, ...]
    begin: str
    boxes: Event
    """Another beginning, which is already a step."""
    ask: tuple[str, ...]
    """Questions for the last count, one of which is drawn."""
    ask_total: str
    times: tuple[str, str]
    """A factor of two, and a factor of {n}."""
    asks_first: bool = False
    """Whether the question stands before the story."""


@dataclass(frozen=True)
class Story:
    """A finished story."""

    question: str
    lines: tuple[str, ...]
    """Lines of the solution, one a step."""
    answer: int
    numbers: str
    """The numbers and operations, such as `3+4*2`: equal for stories that differ only in words."""


def tell(rng: Random, steps: int, limit: int, language: Language) -> Story:
    """Draw a story of `steps` steps in which no number is larger than `limit` (at least 10)."""
    draft = _Draft(rng, limit, language)
    while len(draft.lines) < steps:
        if len(draft.lines) == steps - 1 and draft.may_total() and rng.random() < TOTAL_SHARE:
            return draft.total()
        draft.happen(_pick(rng, language.events))  # does nothing if forbidden; a gain or a loss is always allowed
    return draft.ask()


class _Draft:
    """A story in progress, written sentence by sentence."""

    def __init__(self, rng: Random, limit: int, language: Language) -> None:
        self.rng, self.limit, self.language = rng, limit, language
        self.who, self.thing = _pick(rng, language.people), _pick(rng, language.things)
        self.people = {self.who}
        self.partner: tuple[str, int] | None = None  # who was followed before, and that person's count of the things
        self.sentences: list[str] = []
        self.lines: list[str] = []
        if rng.random() < BOXES_SHARE:
            self.count = _between(rng, 2, min(limit // 2, LARGEST_FACTOR))
            self.numbers = str(self.count)
            self.happen(language.boxes)
        else:
            self.count = _between(rng, 2, limit // 2)
            self.numbers = str(self.count)
            self.sentences.append(language.begin.format(who=self.who, n=self.count, things=self.thing[1]))

    def happen(self, event: Event) -> None:
        """Add an event to the story, unless the bounds forbid it."""
        operands = _operands(event.sign, self.count, self.limit)
        if not operands or (event.change == "thing" and self.thing is self.language.coin):
            return
        n = _pick(self.rng, operands)
        after = _apply(event.sign, self.count, n)
        other = self._new_person() if event.change == "person" else self.who
        result = self.language.coin if event.change == "thing" else self.thing
        twice, times = self.language.times
        text = {
            "who": self.who,
            "other": other,
            "n": n,
            "times": twice if n == 2 else times.format(n=n),
            "before": self.count,
            "sign": event.sign,
            "after": after,
            "thing": self.thing[0],
            "things": self.thing[1],
            "result": _noun(result, after),
        }
        self.sentences.append(_pick(self.rng, event.sentences).format_map(text))
        self.lines.append(event.line.format_map(text))
        self.numbers += f"{event.sign}{n}"
        if event.change != "none":
            self.partner = (self.who, self.count) if event.change == "person" else None
        self.who, self.thing, self.count = other, result, after

    def may_total(self) -> bool:
        """Whether the sum of this count and the previous person's is within the bounds."""
        return self.partner is not None and self.partner[1] + self.count <= self.limit

    def total(self) -> Story:
        """The story, ended by the question for both persons' total, which is one more step."""
        assert self.partner is not None
        other, before = self.partner
        total = before + self.count
        question = self.language.ask_total.format(things=self.thing[1], other=other, who=self.who)
        self.lines.append(TOTAL.format(before=before, n=self.count, after=total, result=_noun(self.thing, total)))
        return Story(self._asking(question), tuple(self.lines), total, f"{self.numbers}&{before}")

    def ask(self) -> Story:
        """The story, ended by the question for the last count."""
        question = _pick(self.rng, self.language.ask).format(things=self.thing[1], who=self.who)
        return Story(self._asking(question), tuple(self.lines), self.count, self.numbers)

    def _asking(self, question: str) -> str:
        """The story with its question, at the end or the beginning."""
        return " ".join([question, *self.sentences] if self.language.asks_first else [*self.sentences, question])

    def _new_person(self) -> str:
        """Draw a person who is not in the story yet."""
        other = _pick(self.rng, self.language.people)
        while other in self.people:
            other = _pick(self.rng, self.language.people)
        self.people.add(other)
        return other


def _operands(sign: Sign, count: int, limit: int) -> Sequence[int]:
    """The numbers from 2 on by which the count can be changed without leaving the range from 0 to `limit`."""
    if sign == "+":
        return range(2, limit - count + 1)
    if sign == "-":
        return range(2, count + 1)
    if count == 0:
        return ()
    if sign == "*":
        return range(2, min(limit // count, LARGEST_FACTOR) + 1)
    return [n for n in range(2, min(count, LARGEST_FACTOR) + 1) if count % n == 0]


def _apply(sign: Sign, count: int, n: int) -> int:
    """The count after an operation."""
    if sign == "+":
        return count + n
    if sign == "-":
        return count - n
    return count * n if sign == "*" else count // n


def _noun(thing: tuple[str, str], count: int) -> str:
    """The singular or plural of a thing, as `count` requires."""
    return thing[count != 1]


def _between(rng: Random, low: int, high: int) -> int:
    """Draw an integer from low to high, both included."""
    return low + int(rng.random() * (high - low + 1))


def _pick(rng: Random, options: Sequence[Item]) -> Item:
    """Draw one of the options. It uses `random()` only, because Python promises the same numbers in every version."""
    return options[int(rng.random() * len(options))]
