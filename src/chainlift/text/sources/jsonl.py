"""A user's own file of problems: one JSON object a line, with a prompt, a worked solution and an answer.

`path` names a folder with train.jsonl and test.jsonl, or one file. Of one file, `test_path` names the test problems, or
else a hash of the prompt holds out a share of the problems; so a prompt that occurs several times is on one side.

Every line is checked when it is read: that its answer is one that the grader can read, that the solution does not hold
the answer mark, that no other line answers the same prompt differently, and that the grader finds the answer in both
completions, so that no demonstration teaches what earns no reward.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from chainlift.seeding import derive
from chainlift.tasks.registry import TASKS
from chainlift.text.grading import numbers
from chainlift.text.overlap import words
from chainlift.text.problem import Problem, Splits
from chainlift.text.sources import records
from chainlift.text.task import TextTask, TextTaskSettings, limited
from chainlift.text.templates import content

HASH_RANGE = 2**63  # derive returns numbers below it


class JsonlSettings(TextTaskSettings):
    """Settings of jsonl: the files, and the keys of their records."""

    name: Literal["jsonl"] = "jsonl"
    path: str
    """A file, or a folder with train.jsonl and test.jsonl."""
    test_path: str | None = None
    """File with the test problems, if `path` is a file; null: a share of that file is held out."""
    held_out: float = Field(default=0.1, gt=0, lt=1, strict=False)
    """Share of all prompts that belongs to the test split, if a single file has both."""
    prompt_key: str = Field(default="prompt", min_length=1)
    """Key of the question."""
    solution_key: str = Field(default="solution", min_length=1)
    """Key of the worked solution, which does not repeat the answer line."""
    answer_key: str = Field(default="answer", min_length=1)
    """Key of the answer: a text, or a number."""

    @property
    def data_files(self) -> list[Path]:
        """The files, whose content decides the problems."""
        path = Path(self.path).expanduser()
        if path.is_dir():
            return [path / "train.jsonl", path / "test.jsonl"]
        return [path] if self.test_path is None else [path, Path(self.test_path).expanduser()]

    @property
    def form(self) -> str:
        """The expected content of a file, for messages."""
        return f'lines {{"{self.prompt_key}": ..., "{self.solution_key}": ..., "{self.answer_key}": ...}}'


class Jsonl(TextTask):
    """Problems from your own file, with a prompt, a worked solution and an answer a line."""

    Settings = JsonlSettings

    def load(self) -> Splits:
        """(training problems, test problems); ValueError in one line that names a file, a line and its fault."""
        self._places: dict[Problem, str] = {}
        train, test = self._splits()
        splits = limited(train, self.settings.train_limit), limited(test, self.settings.test_limit)
        self._check_grades([*splits[0], *splits[1]])
        return splits

    def _problems(self, path: Path, answers: Answers) -> list[Problem]:
        """The problems of a file, in their order."""
        problems = []
        for place, record in records.read_json_lines(path, self.settings.form):
            problem = _problem(place, record, self.settings)
            answers.add(place, problem)
            self._places.setdefault(problem, place)
            problems.append(problem)
        return problems

    def _check_grades(self, problems: list[Problem]) -> None:
        """ValueError names the first line in whose long completion the grader finds no answer, or another one."""
        grader, answers = self.new_grader(), [problem.answer for problem in problems]
        try:
            completions = [content(self.completion(problem, long=True)) for problem in problems]
            for problem, grade in zip(problems, grader.grade_all(completions, answers), strict=True):
                if not grade.is_right and grade.outcome not in ("timeout", "crash"):
                    raise ValueError(
                        f"{self._places[problem]}: the grader {self.settings.grader} does not find "
                        f"{problem.answer[:60]!r} in the long completion of this line; write the solution otherwise: "
                        "behind an answer, reading ends at a next question (Question:, Q:)"
                    )
        finally:
            grader.close()

    def _splits(self) -> tuple[list[Problem], list[Problem]]:
        """All problems of both splits."""
        settings: JsonlSettings = self.settings
        path, answers = Path(settings.path).expanduser(), Answers()
        if path.is_dir() and settings.test_path is not None:
            raise ValueError(f"task.test_path: {path} is a folder, whose test.jsonl has the test problems")
        files = settings.data_files
        if len(files) == 1:
            problems = self._problems(path, answers)
            sides = [is_held_out(problem, settings.held_out) for problem in problems]
            for split, side in (("training", False), ("test", True)):
                if side not in sides:
                    raise ValueError(
                        f"{path}: held_out={settings.held_out} leaves no {split} problem of {len(problems)}; "
                        "change task.held_out, or set task.test_path"
                    )
            train = [problem for problem, side in zip(problems, sides, strict=True) if not side]
            return train, [problem for problem, side in zip(problems, sides, strict=True) if side]
        train, test = (self._problems(file, answers) for file in files)
        return train, test


TASKS.register("jsonl", Jsonl, shipped=True)


def is_held_out(problem: Problem, share: float) -> bool:
    """Whether a problem of a single file belongs to the test split."""
    return derive(0, "jsonl/held_out/" + " ".join(words(problem.question))) < share * HASH_RANGE


class Answers:
    """The answers to the prompts so far, so that no prompt gets two different ones."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, str]] = {}  # {prompt: (place, answer)}

    def add(self, place: str, problem: Problem) -> None:
        """Remember an answer; ValueError if the same prompt has another one."""
        first_place, answer = self._first.setdefault(problem.question, (place, problem.answer))
        if answer == problem.answer:
            return
        value = numbers.read(answer)
        if value is None or value != numbers.read(problem.answer):
            raise ValueError(
                f"{place}: the answer is {problem.answer!r}, but {first_place} has the same prompt "
                f"with the answer {answer!r}"
            )


def _problem(place: str, record: dict[str, Any], settings: JsonlSettings) -> Problem:
    """The problem in a record; ValueError names the record's place and its fault."""
    answer = record.get(settings.answer_key)
    if (isinstance(answer, int) and not isinstance(answer, bool)) or (
        isinstance(answer, float) and math.isfinite(answer)
    ):
        record = {**record, settings.answer_key: str(answer)}
    keys = settings.prompt_key, settings.solution_key, settings.answer_key
    question, solution, answer = (text.strip() for text in records.texts(place, record, keys, settings.form))
    mark = settings.template.answer_mark
    for key, text in ((settings.solution_key, solution), (settings.answer_key, answer)):
        if mark in text:
            raise ValueError(
                f"{place}: the {key} holds the mark {mark!r}, which completions put before the answer; "
                "leave it out, or set task.template.answer_mark"
            )
    with records.error_prefix(place):
        problem = Problem(question, solution, answer)
    if settings.grader == "exact" and numbers.read(answer) is None:
        raise ValueError(f"{place}: the answer {answer[:60]!r} is not a number; use task.grader=math for formulas")
    return problem
