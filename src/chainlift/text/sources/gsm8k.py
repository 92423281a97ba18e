"""GSM8K: grade-school problems with worked solutions (Cobbe et al., arXiv 2110.14168).

The key `answer` of a record holds the solution, one step a line, and a last line `#### 72`. Solutions have calculator
notes such as `<<48/2=24>>`, which repeat the text beside them. They are removed unless the settings keep them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from chainlift.settings import NOT_HASHED
from chainlift.tasks.registry import TASKS
from chainlift.text.problem import ANSWER_MARK, Problem, Splits
from chainlift.text.sources import records
from chainlift.text.task import TextTask, TextTaskSettings, limited

FORM = 'lines {"question": ..., "answer": ...} where the answer ends in a line like "#### 72"'
SPLITS = ("train", "test")
NOTE = re.compile(r"<<[^<>]*>>")


class Gsm8kSettings(TextTaskSettings):
    """Settings of gsm8k: the source of the data, and the form of its solutions."""

    name: Literal["gsm8k"] = "gsm8k"
    path: str | None = None
    """Folder with train.jsonl and test.jsonl; null: the hub, if `download` allows it."""
    download: bool = Field(default=False, json_schema_extra=NOT_HASHED)
    """Whether the data set may be downloaded from the Hugging Face hub."""
    hub: str = "openai/gsm8k"
    """Name of the data set on the hub."""
    config: str = "main"
    """Configuration of the data set on the hub."""
    calculator: Literal["keep", "strip"] = "strip"
    """Whether calculator notes stay in solutions."""

    @property
    def data_files(self) -> list[Path]:
        """The two files of the folder."""
        return [] if self.path is None else [Path(self.path).expanduser() / f"{split}.jsonl" for split in SPLITS]


class Gsm8k(TextTask):
    """Grade-school problems, 7,473 for training and 1,319 for testing."""

    Settings = Gsm8kSettings

    def load(self) -> Splits:
        """(training problems, test problems); ValueError in one line if they cannot be read or downloaded."""
        settings: Gsm8kSettings = self.settings
        train, test = (
            [problem(place, record, settings) for place, record in _records(settings, name)] for name in SPLITS
        )
        return limited(train, settings.train_limit), limited(test, settings.test_limit)


TASKS.register("gsm8k", Gsm8k, shipped=True)


def _records(settings: Gsm8kSettings, split: str) -> Iterable[records.Record]:
    """The records of a split, from the local folder or the hub."""
    if settings.path is not None:
        return records.read_json_lines(Path(settings.path).expanduser() / f"{split}.jsonl", FORM)
    if settings.download:
        return records.from_hub(settings.hub, settings.config, split)
    raise records.no_source("gsm8k", settings.hub, "train.jsonl and test.jsonl")


def problem(place: str, record: dict[str, object], settings: Gsm8kSettings) -> Problem:
    """The problem in a record; ValueError names the record's place and its fault."""
    question, text = records.texts(place, record, ("question", "answer"), FORM)
    solution, mark, answer = text.rpartition(f"\n{ANSWER_MARK}")
    if not mark:
        raise ValueError(f'{place}: the answer has no last line like "{ANSWER_MARK} 72"; expected {FORM}')
    answer = answer.strip()
    if not re.search(r"\d", answer):
        raise ValueError(f"{place}: no number follows {ANSWER_MARK} (found {answer!r}); expected {FORM}")
    if settings.calculator == "strip":
        solution = NOTE.sub("", solution)
    solution = solution.strip()
    with records.error_prefix(place):
        return Problem(
            question.strip(), solution, answer, steps=sum(1 for line in solution.split("\n") if line.strip())
        )
