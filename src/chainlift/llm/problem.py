"""A problem in words with its worked solution and its answer, and the settings that every source of problems has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from chainlift.seeding import derive
from chainlift.settings import Settings

ANSWER_MARK = "####"
"""What stands before the final answer; the mark that GSM8K uses."""


@dataclass(frozen=True)
class Problem:
    """One problem; ValueError where a text is empty or the answer has several lines."""

    question: str
    solution: str
    """The worked solution without the line that repeats the answer."""
    answer: str
    """The final answer as the data set writes it, on one line."""
    steps: int | None = None
    """Lines of the solution, where each of them is one step."""

    def __post_init__(self) -> None:
        for name in ("question", "solution", "answer"):
            if not getattr(self, name).strip():
                raise ValueError(f"the {name} is empty")
        if "\n" in self.answer:
            raise ValueError(f"the answer {self.answer!r} has more than one line")


Splits = tuple[Sequence[Problem], Sequence[Problem]]
"""Training and test problems."""


class DataSettings(Settings):
    """What the settings of every source have; a source adds its `name`, by which it is found."""

    train_limit: int | None = Field(default=None, ge=1)
    """At most so many training problems; null: all of them."""
    test_limit: int | None = Field(default=None, ge=1)
    """At most so many test problems; null: all of them."""


def limited(problems: Sequence[Problem], limit: int | None) -> Sequence[Problem]:
    """At most `limit` of the problems, in their order: those whose questions have the lowest hashes.

    Not the first ones, as files are often sorted by subject. A smaller limit gives a part of what a larger one gives.
    """
    if limit is None or limit >= len(problems):
        return problems
    ranks = [derive(0, "llm/limit/" + problem.question) for problem in problems]
    kept = sorted(sorted(range(len(problems)), key=lambda i: (ranks[i], i))[:limit])
    return [problems[i] for i in kept]
