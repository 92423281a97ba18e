"""Variations of 85 problems of GSM8K with worked solutions, from reasoning-gym (extra `gym`).

GSM-Symbolic (Mirzadeh et al., arXiv 2410.05229) has 100 templates: a question and a solution in which names and numbers
are drawn. The package generates 85 of them, uniformly. A solution has one step a line and ends in a line `#### 72`; the
answers of both are equal. The package's only difficulty is 1.0, so there is no setting for it. Each of its questions
ends in the same two sentences about the form of the answer, which are left out here.

A hash of the question's words (or of its template) decides whether a problem belongs to the test split, so no question
is in both. Problem i depends on the settings, the split and i alone. Within a split a question may repeat: 30 of 5,000
did. Another version of reasoning-gym may give other problems.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal

from pydantic import Field

from chainlift.seeding import derive
from chainlift.tasks.gym import create_dataset
from chainlift.tasks.registry import TASKS
from chainlift.text.overlap import words
from chainlift.text.problem import ANSWER_MARK, Problem, Splits
from chainlift.text.sources.generated import GeneratedSettings
from chainlift.text.task import TextTask

Split = Literal["train", "test"]
HASH_RANGE = 2**63  # derive returns numbers below it
CHUNK = 1000  # entries of a data set
MAX_EMPTY_CHUNKS = 20
INSTRUCTION = " Give the result as your final answer. Do not include units."


class GsmSymbolicSettings(GeneratedSettings):
    """Settings of gsm_symbolic: how many problems there are, and which are for testing."""

    name: Literal["gsm_symbolic"] = "gsm_symbolic"
    held_out: float = Field(default=0.2, gt=0, lt=1, strict=False)
    """Share of all questions, or of the templates, that belongs to the test split."""
    held_out_by: Literal["question", "template"] = "question"
    """What is hashed: the question, or its template, so that training sees no template of a test problem."""


class GsmSymbolic(TextTask):
    """Grade-school problems of GSM-Symbolic's templates, with other names and numbers (extra gym)."""

    Settings = GsmSymbolicSettings
    is_held_out = True

    def load(self) -> Splits:
        """Training and test problems: the first ones of each split, as many as its size and limit allow."""
        settings: GsmSymbolicSettings = self.settings
        return (
            list(islice(_problems(settings, "train"), settings.num_train)),
            list(islice(_problems(settings, "test"), settings.num_test)),
        )


TASKS.register("gsm_symbolic", GsmSymbolic, shipped=True)


def _problems(settings: GsmSymbolicSettings, split: Split) -> Iterator[Problem]:
    """The endless sequence of a split's problems; ValueError if hardly any problem belongs to the split."""
    chunk = last_hit = 0
    while chunk - last_hit <= MAX_EMPTY_CHUNKS:
        dataset = create_dataset("gsm_symbolic", derive(settings.seed, f"gsm_symbolic/{split}", chunk), CHUNK)
        chunk += 1
        # Entry 0 is left out: the package draws its template and its numbers from the same random numbers.
        for index in range(1, CHUNK):
            entry = dataset[index]
            question = entry["question"].removesuffix(INSTRUCTION)
            by_question = settings.held_out_by == "question"
            hashed = " ".join(words(question)) if by_question else str(dataset.task_indices[index])
            is_held_out = derive(0, "gsm_symbolic/held_out/" + hashed) < settings.held_out * HASH_RANGE
            if is_held_out == (split == "test"):
                last_hit = chunk
                yield _problem(question, entry["metadata"]["answer_cot"], entry["answer"])
    raise ValueError(
        f"task.held_out: no {split} problem in {MAX_EMPTY_CHUNKS * CHUNK} at {settings.held_out}; "
        "bring held_out nearer to 1/2, or hold out by question"
    )


def _problem(question: str, solution: str, answer: str) -> Problem:
    """The problem of an entry; its solution loses the last line, which repeats the answer."""
    solution = solution.rpartition(f"\n{ANSWER_MARK}")[0].strip()
    return Problem(question, solution, answer, steps=sum(1 for line in solution.split("\n") if line.strip()))
