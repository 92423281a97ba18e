"""How much of a test set is in the training set: the same questions, and nearly the same ones.

Exact: equal words after normalization (case, blanks and punctuation; signs of arithmetic are kept, since 3 + 4 is not
3 - 4). Near: a share of the test question's different n-grams of words that stands in one and the same training
question. With numbers masked, the same story with other numbers is near.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from chainlift.settings import Settings
from chainlift.text.problem import Problem

# A hyphen before two letters joins words (a 120-page book); any other is taken for a minus.
TOKEN = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|[^\W\d_]+|[+*/=<>^%]|-(?!\s*[^\W\d_]{2})")
MASK = "#"


class OverlapSettings(Settings):
    """What counts as nearly the same question."""

    n: int = Field(default=8, ge=1)
    """Words of an n-gram; shorter questions are compared exactly only."""
    share: float = Field(default=0.5, gt=0, le=1, strict=False)
    """Smallest share of a test question's n-grams in one training question."""
    mask_numbers: bool = False
    """Whether all numbers count as one and the same word in n-grams."""
    examples: int = Field(default=5, ge=0)
    """How many pairs are shown, those of the largest share first."""


@dataclass(frozen=True)
class Pair:
    """A test question and the training question nearest to it."""

    test: int
    train: int
    share: float
    """Of the test question's n-grams; 1 for the same question."""
    test_question: str
    train_question: str


@dataclass(frozen=True)
class Overlap:
    """What was found; numbers of problems count from 0 in the order given."""

    num_train: int
    num_test: int
    exact: tuple[int, ...]
    """Test problems whose question is a training question."""
    near: tuple[int, ...]
    """Test problems whose question is nearly one, those of `exact` left out."""
    examples: tuple[Pair, ...]


def words(question: str) -> list[str]:
    """The normalized words, numbers and signs of a question."""
    return [token.replace(",", "") for token in TOKEN.findall(question.lower())]


def overlap(train: Sequence[Problem], test: Sequence[Problem], settings: OverlapSettings | None = None) -> Overlap:
    """Which test problems have the same or nearly the same question as a training problem, with examples."""
    settings = settings or OverlapSettings()
    first: dict[tuple[str, ...], int] = {}
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)  # training problems with an n-gram
    for number, problem in enumerate(train):
        found = words(problem.question)
        first.setdefault(tuple(found), number)
        for gram in _grams(found, settings):
            holders[gram].append(number)

    exact: list[Pair] = []
    near: list[Pair] = []
    for number, problem in enumerate(test):
        found = words(problem.question)
        same = first.get(tuple(found))
        if same is not None:
            exact.append(Pair(number, same, 1.0, problem.question, train[same].question))
            continue
        grams = _grams(found, settings)
        counts = Counter(holder for gram in grams for holder in holders.get(gram, ()))
        if not counts:
            continue
        nearest, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if count / len(grams) >= settings.share:
            near.append(Pair(number, nearest, count / len(grams), problem.question, train[nearest].question))
    shown = sorted([*exact, *near], key=lambda pair: -pair.share)[: settings.examples]
    return Overlap(
        len(train), len(test), tuple(pair.test for pair in exact), tuple(pair.test for pair in near), tuple(shown)
    )


def _grams(found: list[str], settings: OverlapSettings) -> set[tuple[str, ...]]:
    """The different n-grams of a question's words."""
    if settings.mask_numbers:
        found = [MASK if word[0].isdigit() else word for word in found]
    return {tuple(found[i : i + settings.n]) for i in range(len(found) - settings.n + 1)}
