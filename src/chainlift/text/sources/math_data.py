r"""MATH: competition problems in LaTeX (Hendrycks et al., arXiv 2103.03874).

The answer is the content of the solution's last box, `\boxed{...}` or `\fbox{...}`; a few solutions write `\boxed 3`.
Records come from the original layout, train/<subject>/<n>.json, from train.jsonl and test.jsonl with the same keys, or
from the hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from chainlift.settings import NOT_HASHED, suggest
from chainlift.tasks.registry import TASKS
from chainlift.text.grading.boxed import boxed
from chainlift.text.grading.graders import GraderName
from chainlift.text.problem import Problem, Splits
from chainlift.text.sources import records
from chainlift.text.task import TextTask, TextTaskSettings, limited

FORM = r'{"problem": ..., "level": "Level 3", "type": "Algebra", "solution": "... \\boxed{72} ..."}'
FILES = "train/<subject>/<n>.json and test/<subject>/<n>.json, or train.jsonl and test.jsonl"
KEYS = ("problem", "level", "type", "solution")
CONFIGS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
"""The subjects; each is a configuration on the hub."""


class MathSettings(TextTaskSettings):
    """Settings of math: the source of the data, and the part of it that is used."""

    name: Literal["math"] = "math"
    grader: GraderName = "math"
    """math: formulas, by math-verify; exact: numbers as exact fractions."""
    path: str | None = None
    """Folder with either local layout; null: the hub, if `download` allows it."""
    download: bool = Field(default=False, json_schema_extra=NOT_HASHED)
    """Whether the data set may be downloaded from the Hugging Face hub."""
    hub: str = "EleutherAI/hendrycks_math"
    """Name of the data set on the hub; it has a configuration for each subject."""
    levels: list[Annotated[int, Field(ge=1, le=5)]] | None = Field(default=None, min_length=1)
    """Levels to use, from 1 to 5; null: all problems, also those without a level."""
    subjects: list[str] | None = Field(default=None, min_length=1)
    """Subjects to use, such as `algebra` or `Counting & Probability`; null: all."""

    @property
    def data_files(self) -> list[Path]:
        """The files of the folder, in either layout."""
        if self.path is None:
            return []
        return [file for split in ("train", "test") for file in _files(Path(self.path).expanduser(), split)]


class Math(TextTask):
    """Competition problems, 7,500 for training and 5,000 for testing."""

    Settings = MathSettings

    def load(self) -> Splits:
        """(training problems, test problems); ValueError in one line if they cannot be read or downloaded."""
        settings: MathSettings = self.settings
        train, test = (_problems(settings, name) for name in ("train", "test"))
        return limited(train, settings.train_limit), limited(test, settings.test_limit)


TASKS.register("math", Math, shipped=True)


def subject(name: str) -> str:
    """The name of a subject, spelled as in folders and configurations: `counting_and_probability`."""
    return "_".join(name.lower().replace("&", " and ").replace("_", " ").split())


def level(text: str) -> int | None:
    """The number in a text such as `Level 3`; None for `Level ?`."""
    match = re.fullmatch(r"Level (\d+)", text.strip())
    return int(match[1]) if match else None


def problem(place: str, record: dict[str, Any]) -> Problem:
    """The problem in a record; ValueError names the record's place and its fault."""
    question, solution = records.texts(place, record, ("problem", "solution"), FORM)
    with records.error_prefix(place):
        return Problem(question.strip(), solution.strip(), boxed(solution))


def _problems(settings: MathSettings, split: str) -> list[Problem]:
    """The problems of a split that pass the filters; ValueError names a filter that no problem passes."""
    subjects = None if settings.subjects is None else {subject(name) for name in settings.subjects}
    seen: set[str] = set()
    problems: list[Problem] = []
    for place, record in _split(settings, split, subjects):
        _, level_text, type_text, _ = records.texts(place, record, KEYS, FORM)
        seen.add(subject(type_text))
        if subjects is not None and subject(type_text) not in subjects:
            continue
        if settings.levels is not None and level(level_text) not in settings.levels:
            continue
        problems.append(problem(place, record))
    for name in sorted((subjects or set()) - seen):
        raise ValueError(
            f"task.subjects: no {split} problem of {name!r}{suggest(name, seen)}; there are {', '.join(sorted(seen))}"
        )
    if not problems:
        raise ValueError(f"task.levels: no {split} problem has a level of {settings.levels}; allowed are 1 to 5")
    return problems


def _split(settings: MathSettings, split: str, subjects: set[str] | None) -> Iterable[records.Record]:
    """The records of a split, from the local folder or the hub."""
    if settings.path is not None:
        return _local(Path(settings.path).expanduser(), split)
    if not settings.download:
        raise records.no_source("math", settings.hub, FILES)
    for name in sorted((subjects or set()) - set(CONFIGS)):
        raise ValueError(f"task.subjects: {name!r} is not known{suggest(name, CONFIGS)}; known: {', '.join(CONFIGS)}")
    chosen = [config for config in CONFIGS if subjects is None or config in subjects]
    return (record for config in chosen for record in records.from_hub(settings.hub, config, split))


def _local(folder: Path, split: str) -> Iterable[records.Record]:
    """The records of a split from a local folder of either layout."""
    files = _files(folder, split)
    if not files:
        raise ValueError(f"{folder} has no {split} problems; expected {FILES}, with {FORM}")
    if files[0].suffix == ".jsonl":
        return records.read_json_lines(files[0], FORM)
    return (records.read_json(file, FORM) for file in files)


def _files(folder: Path, split: str) -> list[Path]:
    """The files of a split: a file of lines, or files of one problem each; none if there are none."""
    lines = folder / f"{split}.jsonl"
    if lines.exists():
        return [lines]
    return sorted((folder / split).glob("*/*.json"), key=lambda file: (file.parent.name, len(file.stem), file.stem))
