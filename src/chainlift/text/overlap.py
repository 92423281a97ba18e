"""Overlap of a test set with the training set: the same questions, and nearly the same ones.

Exact: equal words after normalization of case, blanks and punctuation. Signs of arithmetic are kept, because 3 + 4 is
not 3 - 4. Near: a large enough share of the test question's different n-grams of words occurs in a single training
question. With masked numbers, the same story with other numbers is near.
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
    """Definition of nearly the same question."""

    n: int = Field(default=8, ge=1)
    """Words of an n-gram; shorter questions can only match exactly."""
    share: float = Field(default=0.5, gt=0, le=1, strict=False)
    """Smallest share of a test question's n-grams that occurs in one training question."""
    mask_numbers: bool = False
    """Whether all numbers count as the same word in n-grams."""
    examples: int = Field(default=5, ge=0)
    """Number of example pairs, those of the largest share first."""


@dataclass(frozen=True)
class Pair:
    """A test question and the training question nearest to it."""

    test: int
    """Number of the test problem, from 0."""
    train: int
    """Number of the training problem, from 0."""
    share: float
    """Share of the test question's n-grams in the training question; 1 for the same question."""
    test_question: str
    train_question: str


@dataclass(frozen=True)
class Overlap:
    """Test problems that are in the training set, by their numbers from 0."""

    num_train: int
    num_test: int
    exact: tuple[int, ...]
    """Test problems whose question is a training question."""
    near: tuple[int, ...]
    """Test problems whose question is nearly a training question, without those of `exact`."""
    examples: tuple[Pair, ...]


def words(question: str) -> list[str]:
    """The normalized words, numbers and signs of a question."""
    return [token.replace(",", "") for token in TOKEN.findall(question.lower())]


def overlap(train: Sequence[Problem], test: Sequence[Problem], settings: OverlapSettings | None = None) -> Overlap:
    """The test problems with the same or nearly the same question as a training problem, and examples."""
    settings = settings or OverlapSettings()
    first: dict[tuple[str, ...], int] = {}
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)  # training problems with an n-gram
    for number, problem in enumerate(train):
        question_words = words(problem.question)
        first.setdefault(tuple(question_words), number)
        for gram in _grams(question_words, settings):
            holders[gram].append(number)

    exact: list[Pair] = []
    near: list[Pair] = []
    for number, problem in enumerate(test):
        question_words = words(problem.question)
        same = first.get(tuple(question_words))
        if same is not None:
            exact.append(Pair(number, same, 1.0, problem.question, train[same].question))
            continue
        grams = _grams(question_words, settings)
        counts = Counter(holder for gram in grams for holder in holders.get(gram, ()))
        if not counts:
            continue
        nearest, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if count / len(grams) >= settings.share:
            near.append(Pair(number, nearest, count / len(grams), problem.question, train[nearest].question))
    examples = sorted([*exact, *near], key=lambda pair: -pair.share)[: settings.examples]
    return Overlap(
        len(train), len(test), tuple(pair.test for pair in exact), tuple(pair.test for pair in near), tuple(examples)
    )


def _grams(question_words: list[str], settings: OverlapSettings) -> set[tuple[str, ...]]:
    """The different n-grams of a question's words."""
    if settings.mask_numbers:
        question_words = [MASK if word[0].isdigit() else word for word in question_words]
    return {tuple(question_words[i : i + settings.n]) for i in range(len(question_words) - settings.n + 1)}
