"""GSM8K: grade-school problems with worked solutions (Cobbe et al., arXiv 2110.14168).

An `answer` of the data set is the solution, a line a step, and a last line `#### 72`. Solutions carry the calculator's
notes `<<48/2=24>>`; they repeat what stands beside them, and are taken out unless the settings keep them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from chainlift.llm import records
from chainlift.llm.problem import ANSWER_MARK, DataSettings, Problem, Splits, limited
from chainlift.settings import NOT_HASHED

FORM = 'lines {"question": ..., "answer": ...} where the answer ends in a line like "#### 72"'
NOTE = re.compile(r"<<[^<>]*>>")


class Gsm8kSettings(DataSettings):
    """Where GSM8K is, and how its solutions are shown."""

    name: Literal["gsm8k"] = "gsm8k"
    path: str | None = None
    """Folder with train.jsonl and test.jsonl; null: the hub, where `download` allows it."""
    download: bool = Field(default=False, json_schema_extra=NOT_HASHED)
    """Whether the data set may be fetched from the Hugging Face hub."""
    hub: str = "openai/gsm8k"
    """Its name on the hub."""
    config: str = "main"
    """Its configuration on the hub."""
    calculator: Literal["keep", "strip"] = "strip"
    """What is done with the calculator's notes."""


def load(settings: Gsm8kSettings) -> Splits:
    """Training and test problems, 7,473 and 1,319 of the full data set; ValueError in one line where that fails."""

    def split(name: str) -> Iterable[records.Record]:
        if settings.path is not None:
            return records.read_json_lines(Path(settings.path).expanduser() / f"{name}.jsonl", FORM)
        if settings.download:
            return records.from_hub(settings.hub, settings.config, name)
        raise records.no_source("gsm8k", settings.hub, "train.jsonl and test.jsonl")

    def problems(name: str) -> list[Problem]:
        return [problem(place, record, settings) for place, record in split(name)]

    return limited(problems("train"), settings.train_limit), limited(problems("test"), settings.test_limit)


def problem(place: str, record: dict[str, object], settings: Gsm8kSettings) -> Problem:
    """The problem of a record; ValueError names the place and what is wrong there."""
    question, text = records.texts(place, record, ("question", "answer"), FORM)
    solution, mark, answer = text.rpartition(f"\n{ANSWER_MARK}")
    if not mark:
        raise ValueError(f'{place}: the answer has no last line like "{ANSWER_MARK} 72"; expected {FORM}')
    answer = answer.strip()
    if not re.search(r"\d", answer):
        raise ValueError(f"{place}: no number behind {ANSWER_MARK} (found {answer!r}); expected {FORM}")
    if settings.calculator == "strip":
        solution = NOTE.sub("", solution)
    solution = solution.strip()
    with records.at(place):
        return Problem(
            question.strip(), solution, answer, steps=sum(1 for line in solution.split("\n") if line.strip())
        )
