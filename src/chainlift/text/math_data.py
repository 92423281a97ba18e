r"""MATH: competition problems in LaTeX (Hendrycks et al., arXiv 2103.03874).

The answer is what stands in the solution's last box, `\boxed{...}` or `\fbox{...}`; a few solutions write `\boxed 3`.
Read from the original layout, train/<subject>/<n>.json, from train.jsonl and test.jsonl with the same keys, or from
the hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from chainlift.settings import NOT_HASHED, suggest
from chainlift.tasks.registry import TASKS
from chainlift.text import records
from chainlift.text.grading.boxed import boxed
from chainlift.text.grading.graders import GraderName
from chainlift.text.problem import Problem, Splits
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
"""The subjects, each of them a configuration on the hub."""


class MathSettings(TextTaskSettings):
    """Where MATH is, and which part of it is used."""

    name: Literal["math"] = "math"
    grader: GraderName = "math"
    """math: formulas, by math-verify; exact: numbers as exact fractions."""
    path: str | None = None
    """Folder with either local layout; null: the hub, where `download` allows it."""
    download: bool = Field(default=False, json_schema_extra=NOT_HASHED)
    """Whether the data set may be fetched from the Hugging Face hub."""
    hub: str = "EleutherAI/hendrycks_math"
    """Its name on the hub; a configuration for each subject."""
    levels: list[Annotated[int, Field(ge=1, le=5)]] | None = Field(default=None, min_length=1)
    """Levels that are used, of 1 to 5; null: all, those without a level included."""
    subjects: list[str] | None = Field(default=None, min_length=1)
    """Subjects that are used, as in `algebra` or `Counting & Probability`; null: all."""


class Math(TextTask):
    """Competition problems, 7,500 for training and 5,000 for testing."""

    Settings = MathSettings

    def load(self) -> Splits:
        """(training problems, test problems); ValueError in one line where they cannot be had."""
        settings: MathSettings = self.settings
        train, test = (_problems(settings, name) for name in ("train", "test"))
        return limited(train, settings.train_limit), limited(test, settings.test_limit)


TASKS.register("math", Math, shipped=True)


def subject(name: str) -> str:
    """The name of a subject as folders and configurations spell it: `counting_and_probability`."""
    return "_".join(name.lower().replace("&", " and ").replace("_", " ").split())


def level(text: str) -> int | None:
    """The number in `Level 3`, None where there is none (`Level ?`)."""
    found = re.fullmatch(r"Level (\d+)", text.strip())
    return int(found[1]) if found else None


def problem(place: str, record: dict[str, Any]) -> Problem:
    """The problem of a record; ValueError names the place and what is wrong there."""
    question, solution = records.texts(place, record, ("problem", "solution"), FORM)
    with records.at(place):
        return Problem(question.strip(), solution.strip(), boxed(solution))


def _problems(settings: MathSettings, split: str) -> list[Problem]:
    """The problems of a split that pass the filters; ValueError names a filter that nothing passes."""
    subjects = None if settings.subjects is None else {subject(name) for name in settings.subjects}
    seen: set[str] = set()
    found: list[Problem] = []
    for place, record in _split(settings, split, subjects):
        _, level_text, type_text, _ = records.texts(place, record, KEYS, FORM)
        seen.add(subject(type_text))
        if subjects is not None and subject(type_text) not in subjects:
            continue
        if settings.levels is not None and level(level_text) not in settings.levels:
            continue
        found.append(problem(place, record))
    for name in sorted((subjects or set()) - seen):
        raise ValueError(
            f"task.subjects: no {split} problem of {name!r}{suggest(name, seen)}; there are {', '.join(sorted(seen))}"
        )
    if not found:
        raise ValueError(f"task.levels: no {split} problem has a level of {settings.levels}; allowed are 1 to 5")
    return found


def _split(settings: MathSettings, split: str, subjects: set[str] | None) -> Iterable[records.Record]:
    """The records of a split, from wherever the settings say."""
    if settings.path is not None:
        return _local(Path(settings.path).expanduser(), split)
    if not settings.download:
        raise records.no_source("math", settings.hub, FILES)
    for name in sorted((subjects or set()) - set(CONFIGS)):
        raise ValueError(f"task.subjects: {name!r} is not known{suggest(name, CONFIGS)}; known: {', '.join(CONFIGS)}")
    chosen = [config for config in CONFIGS if subjects is None or config in subjects]
    return (record for config in chosen for record in records.from_hub(settings.hub, config, split))


def _local(folder: Path, split: str) -> Iterable[records.Record]:
    """The records of a split in a local folder of either layout."""
    lines = folder / f"{split}.jsonl"
    if lines.exists():
        return records.read_json_lines(lines, FORM)
    files = sorted((folder / split).glob("*/*.json"), key=lambda file: (file.parent.name, len(file.stem), file.stem))
    if not files:
        raise ValueError(f"{folder} has no {split} problems; expected {FILES}, with {FORM}")
    return (records.read_json(file, FORM) for file in files)
