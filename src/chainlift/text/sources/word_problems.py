"""Generated word problems with worked solutions of a known number of steps.

A hash of the question (or of its numbers alone) decides whether a problem belongs to the test split; each split redraws
until the hash is on its side. So no question is in both splits, for any seeds and sizes. Problem i comes from its own
stream and does not depend on how many problems are drawn. Within a split questions may repeat, because small bounds
allow few different ones.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from pydantic import Field, model_validator

from chainlift.seeding import derive
from chainlift.settings import ONLY_MEASURES
from chainlift.tasks.registry import TASKS
from chainlift.text.problem import Problem, Splits
from chainlift.text.sources import word_stories
from chainlift.text.sources.generated import GeneratedSettings
from chainlift.text.sources.word_languages import LANGUAGES
from chainlift.text.task import TextTask

Split = Literal["train", "test"]
Stories = Literal["first", "second", "both"]
MAX_STEPS = 11  # each step may need another person, and a language has twelve
MAX_DRAWS = 10_000
HASH_RANGE = 2**63  # derive returns numbers below it


class WordProblemSettings(GeneratedSettings):
    """Settings of word_problems: how many problems there are, and how hard they are."""

    name: Literal["word_problems"] = "word_problems"
    min_steps: int = Field(default=1, ge=1, le=MAX_STEPS)
    """Fewest steps of a solution; the number of steps is uniform between the two bounds."""
    max_steps: int = Field(default=4, ge=1, le=MAX_STEPS)
    """Most steps of a solution."""
    max_number: int = Field(default=50, ge=10, le=100_000)
    """The largest number in questions, solutions and answers."""
    stories: Stories = "first"
    """The language of stories: other nouns, names, verbs and orders of sentences; both: drawn for each problem."""
    test_stories: Stories | None = Field(default=None, json_schema_extra=ONLY_MEASURES)
    """The language of the test problems' stories; null: as in training."""
    held_out: float = Field(default=0.2, gt=0, lt=1, strict=False)
    """Share of all possible questions that belong to the test split."""
    held_out_by: Literal["question", "numbers"] = "question"
    """What is hashed: the question, or only its numbers and operations, so that no test problem is a training problem
    in other words."""

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> WordProblemSettings:
        if self.min_steps > self.max_steps:
            raise ValueError(f"min_steps ({self.min_steps}) must not be larger than max_steps ({self.max_steps})")
        return self


class WordProblems(TextTask):
    """The task word_problems: generated problems with a known number of steps."""

    Settings = WordProblemSettings
    is_held_out = True

    def load(self) -> Splits:
        """Training and test problems: the first ones of each split, as many as its size and limit allow."""
        settings: WordProblemSettings = self.settings
        return (
            [problem(settings, "train", i) for i in range(settings.num_train)],
            [problem(settings, "test", i) for i in range(settings.num_test)],
        )


TASKS.register("word_problems", WordProblems, shipped=True)


def problem(settings: WordProblemSettings, split: Split, index: int) -> Problem:
    """Problem number `index` of a split, a function of the settings, the split and the index alone.

    ValueError if hardly any problem belongs to the split.
    """
    # Random is seeded from the named stream: a torch generator would cost more than the problem that it draws.
    rng = Random(derive(settings.seed, f"word_problems/{split}", index))
    steps = settings.min_steps + int(rng.random() * (settings.max_steps - settings.min_steps + 1))
    stories = settings.test_stories if split == "test" and settings.test_stories is not None else settings.stories
    for _ in range(MAX_DRAWS):
        name = stories if stories != "both" else "first" if rng.random() < 0.5 else "second"
        story = word_stories.tell(rng, steps, settings.max_number, LANGUAGES[name])
        if is_held_out(story, settings) == (split == "test"):
            return Problem(story.question, "\n".join(story.lines), str(story.answer), steps)
    raise ValueError(
        f"task.held_out: no {split} problem of {steps} steps in {MAX_DRAWS} draws at {settings.held_out}; "
        "bring held_out nearer to 1/2, raise max_number, or hold out by question"
    )


def is_held_out(story: word_stories.Story, settings: WordProblemSettings) -> bool:
    """Whether a story belongs to the test split, for every seed."""
    hashed = story.question if settings.held_out_by == "question" else story.numbers
    return derive(0, "word_problems/held_out/" + hashed) < settings.held_out * HASH_RANGE
