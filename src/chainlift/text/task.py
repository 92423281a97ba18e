"""Tasks of text: problems in words with worked solutions, formatted by a template and judged by a grader.

A source of problems is a subclass of TextTask with strict `Settings` and a method `load`. The registry of tasks
(tasks/registry.py) finds it by its name, by an entry point, or as `package.module:Class`.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
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
    """Settings of every task of text; a source adds its `name`, by which the registry finds it, and its own keys."""

    template: TemplateSettings = TemplateSettings()
    """Format of prompts and completions."""
    grader: GraderName = "exact"
    """exact: numbers as exact fractions; math: formulas, by math-verify."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest response in RL and in measurements; a response that does not end by then is wrong."""
    train_limit: int | None = Field(default=None, ge=1)
    """Most training problems; null: all of them."""
    test_limit: int | None = Field(default=None, ge=1, json_schema_extra=ONLY_MEASURES)
    """Most test problems; null: all of them."""

    @property
    def data_files(self) -> list[Path]:
        """The files whose content decides the problems; a source that reads files overrides it.

        Their checksums belong to what decides a stage's weights, so that no run takes over what others learned.
        """
        return []


class TextTask(ABC):
    """A source of problems, which are loaded at their first use."""

    Settings: ClassVar[type[TextTaskSettings]]
    chance: float = 0.0
    """Accuracy of a blind guess; 0, because it is not known for answers in words."""
    is_held_out: ClassVar[bool | None] = None
    """Whether no test problem is a training problem; None if only the data can tell (text/overlap.py)."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    def load(self) -> Splits:
        """(training problems, test problems); ValueError in one line if they cannot be loaded."""

    @functools.cached_property
    def problems(self) -> Splits:
        """(training problems, test problems), not empty; ValueError in one line if the source has none of a split."""
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
        """A new grader, which the caller closes; ValueError if it needs a package that is missing."""
        return graders.grader(self.settings.grader, self.settings.template.answer_mark)

    def complaint(self) -> str | None:
        """The first violation of the protocol, in words; None if the task fulfills it."""
        if not isinstance(self.settings, TextTaskSettings):
            return "its Settings are not a subclass of TextTaskSettings"
        return None


def is_text(settings: Settings) -> TypeGuard[TextTaskSettings]:
    """Whether settings are those of a task of text."""
    return isinstance(settings, TextTaskSettings)


def of(settings: Settings) -> TextTask:
    """The task of text of these settings; ValueError if they describe a task of symbols."""
    task = registry.make(settings)
    if not isinstance(task, TextTask):
        raise ValueError(f"task {getattr(settings, 'name', None)!r} is not a task of text")
    return task


def limited(problems: Sequence[Problem], limit: int | None) -> Sequence[Problem]:
    """At most `limit` of the problems, in their order: those whose questions have the lowest hashes.

    The first ones would be a biased sample, because files are often sorted by subject. A smaller limit selects a subset
    of the problems of a larger limit.
    """
    if limit is None or limit >= len(problems):
        return problems
    ranks = [derive(0, "llm/limit/" + problem.question) for problem in problems]
    selected = sorted(sorted(range(len(problems)), key=lambda i: (ranks[i], i))[:limit])
    return [problems[i] for i in selected]
