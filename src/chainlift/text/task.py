"""A task of text: problems in words with worked solutions, written out by a template and judged by a grader.

A source of problems is a subclass with strict `Settings` and a `load`, registered among the tasks (tasks/registry.py):
by its name, by an entry point, or as `package.module:Class`.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeGuard

from pydantic import Field

from chainlift.seeding import derive
from chainlift.settings import ONLY_MEASURES, Settings
from chainlift.tasks import registry
from chainlift.text import templates
from chainlift.text.grading import graders
from chainlift.text.grading.grade import Grader
from chainlift.text.grading.graders import GraderName
from chainlift.text.problem import Problem, Splits
from chainlift.text.templates import TemplateSettings, Text


class TextTaskSettings(Settings):
    """What every task of text has; a source adds its `name`, by which it is found, and its own keys."""

    template: TemplateSettings = TemplateSettings()
    """How problems and completions are written."""
    grader: GraderName = "exact"
    """exact: numbers as exact fractions; math: formulas, by math-verify."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest response, in RL and in measurements; one that does not end by then is wrong."""
    train_limit: int | None = Field(default=None, ge=1)
    """At most so many training problems; null: all of them."""
    test_limit: int | None = Field(default=None, ge=1, json_schema_extra=ONLY_MEASURES)
    """At most so many test problems; null: all of them."""


class TextTask(ABC):
    """Problems of a source; they are read or drawn at their first use."""

    Settings: ClassVar[type[TextTaskSettings]]
    chance: float = 0.0
    """Accuracy of a blind guess: nobody knows it for answers in words."""
    is_held_out: ClassVar[bool | None] = None
    """Whether no test problem is a training problem; None where only a look at the data tells (text/overlap.py)."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    def load(self) -> Splits:
        """(training problems, test problems); ValueError in one line where they cannot be had."""

    @functools.cached_property
    def problems(self) -> Splits:
        """(training problems, test problems), some of each; ValueError in one line where a source has none."""
        splits = self.load()
        for split, problems in zip(("training", "test"), splits, strict=True):
            if not len(problems):
                raise ValueError(f"task {getattr(self.settings, 'name', None)!r} has no {split} problems")
        return splits

    def prompt(self, problem: Problem) -> Text:
        """The prompt of a problem: a text, or a list of messages."""
        return templates.prompt(problem, self.settings.template)

    def completion(self, problem: Problem, *, long: bool) -> Text:
        """The long or the short completion of a problem, without an end-of-sequence token."""
        return templates.completion(problem, self.settings.template, long=long)

    def new_grader(self) -> Grader:
        """A new grader, which the caller closes; ValueError where it needs a package that is missing."""
        return graders.grader(self.settings.grader, self.settings.template.answer_mark)

    def complaint(self) -> str | None:
        """In words, what is wrong with a task from elsewhere; None if all is well."""
        if not isinstance(self.settings, TextTaskSettings):
            return "its Settings are no subclass of TextTaskSettings"
        return None


def is_text(settings: Settings) -> TypeGuard[TextTaskSettings]:
    """Whether settings are of a task of text."""
    return isinstance(settings, TextTaskSettings)


def of(settings: Settings) -> TextTask:
    """The task of text that its settings describe; ValueError where they describe another."""
    task = registry.make(settings)
    if not isinstance(task, TextTask):
        raise ValueError(f"task {getattr(settings, 'name', None)!r} is no task of text")
    return task


def limited(problems: Sequence[Problem], limit: int | None) -> Sequence[Problem]:
    """At most `limit` of the problems, in their order: those whose questions have the lowest hashes.

    Not the first ones, as files are often sorted by subject. A smaller limit gives a part of what a larger one gives.
    """
    if limit is None or limit >= len(problems):
        return problems
    ranks = [derive(0, "llm/limit/" + problem.question) for problem in problems]
    kept = sorted(sorted(range(len(problems)), key=lambda i: (ranks[i], i))[:limit])
    return [problems[i] for i in kept]
