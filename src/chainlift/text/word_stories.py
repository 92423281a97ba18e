"""The language of generated word problems: people, things, events, and the sentences for them.

A story follows one count. Each event changes the count by one operation, and the solution has one line for each event.
The person whose count is followed may change ("Now Ben has twice as many apples as Anna."), and the things may be sold
for coins. Stories use only sentences from the tables of this file, so their vocabulary is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeVar

Sign = Literal["+", "-", "*", "/"]
Change = Literal["none", "person", "thing"]
Item = TypeVar("Item")

PEOPLE = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Iris", "Jonas", "Lena", "Tom")
THINGS = (
    ("apple", "apples"),
    ("book", "books"),
    ("shell", "shells"),
    ("card", "cards"),
    ("stone", "stones"),
    ("button", "buttons"),
    ("pencil", "pencils"),
    ("cookie", "cookies"),
    ("marble", "marbles"),
    ("flower", "flowers"),
)
COIN = ("coin", "coins")
LARGEST_FACTOR = 10


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


HAS = "{who} has {before} {sign} {n} = {after} {result}."
OTHER_HAS = "{other} has {before} {sign} {n} = {after} {result}."
EVENTS = (
    Event("+", ("{who} finds {n} more {things}.", "{who} buys {n} more {things}."), HAS),
    Event("-", ("{who} gives away {n} {things}.", "{who} loses {n} {things}."), HAS),
    Event("*", ("A week later {who} has {times} as many {things} as before.",), HAS),
    Event(
        "/",
        ("{who} puts the {things} into {n} equal bags and keeps only one bag.",
         "{who} shares the {things} equally in a group of {n} people and takes one share."),
        HAS,
    ),
    Event("+", ("Now {other} has {n} {things} more than {who}.",), OTHER_HAS, "person"),
    Event("-", ("Now {other} has {n} {things} fewer than {who}.",), OTHER_HAS, "person"),
    Event("*", ("Now {other} has {times} as many {things} as {who}.",), OTHER_HAS, "person"),
    Event(
        "*",
        ("{who} has no coins and sells every {thing} for {n} coins.",),
        "{who} gets {before} * {n} = {after} {result}.",
        "thing",
    ),
)  # fmt: skip

BEGIN = "{who} has {n} {things}."
BOXES = Event("*", ("{who} has {before} boxes with {n} {things} in each box.",), HAS)
"""Another beginning, which is already a step."""
BOXES_SHARE, TOTAL_SHARE = 0.25, 0.5
"""How often a story begins with boxes, and how often it ends with a total if it may."""
ASK = ("How many {things} does {who} have now?", "How many {things} does {who} have in the end?")
ASK_TOTAL = "How many {things} do {other} and {who} have together?"
TOTAL = "Together they have {before} + {n} = {after} {result}."
TWICE, TIMES = "twice", "{n} times"


@dataclass(frozen=True)
class Story:
    """A finished story."""

    question: str
    lines: tuple[str, ...]
    """Lines of the solution, one a step."""
    answer: int
    numbers: str
    """The numbers and operations, such as `3+4*2`: equal for stories that differ only in words."""


def tell(rng: Random, steps: int, limit: int) -> Story:
    """Draw a story of `steps` steps in which no number is larger than `limit` (at least 10)."""
    draft = _Draft(rng, limit)
    while len(draft.lines) < steps:
        if len(draft.lines) == steps - 1 and draft.may_total() and rng.random() < TOTAL_SHARE:
            return draft.total()
        draft.happen(_pick(rng, EVENTS))  # does nothing if forbidden; a gain or a loss is always allowed
    return draft.ask()


class _Draft:
    """A story in progress, written sentence by sentence."""

    def __init__(self, rng: Random, limit: int) -> None:
        self.rng, self.limit = rng, limit
        self.who, self.thing = _pick(rng, PEOPLE), _pick(rng, THINGS)
        self.people = {self.who}
        self.partner: tuple[str, int] | None = None  # who was followed before, and that person's count of the things
        self.sentences: list[str] = []
        self.lines: list[str] = []
        if rng.random() < BOXES_SHARE:
            self.count = _between(rng, 2, min(limit // 2, LARGEST_FACTOR))
            self.numbers = str(self.count)
            self.happen(BOXES)
        else:
            self.count = _between(rng, 2, limit // 2)
            self.numbers = str(self.count)
            self.sentences.append(BEGIN.format(who=self.who, n=self.count, things=self.thing[1]))

    def happen(self, event: Event) -> None:
        """Add an event to the story, unless the bounds forbid it."""
        operands = _operands(event.sign, self.count, self.limit)
        if not operands or (event.change == "thing" and self.thing is COIN):
            return
        n = _pick(self.rng, operands)
        after = _apply(event.sign, self.count, n)
        other = self._new_person() if event.change == "person" else self.who
        result = COIN if event.change == "thing" else self.thing
        text = {
            "who": self.who,
            "other": other,
            "n": n,
            "times": TWICE if n == 2 else TIMES.format(n=n),
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
        self.sentences.append(ASK_TOTAL.format(things=self.thing[1], other=other, who=self.who))
        self.lines.append(TOTAL.format(before=before, n=self.count, after=total, result=_noun(self.thing, total)))
        return Story(" ".join(self.sentences), tuple(self.lines), total, f"{self.numbers}&{before}")

    def ask(self) -> Story:
        """The story, ended by the question for the last count."""
        self.sentences.append(_pick(self.rng, ASK).format(things=self.thing[1], who=self.who))
        return Story(" ".join(self.sentences), tuple(self.lines), self.count, self.numbers)

    def _new_person(self) -> str:
        """Draw a person who is not in the story yet."""
        other = _pick(self.rng, PEOPLE)
        while other in self.people:
            other = _pick(self.rng, PEOPLE)
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
