"""The recorded numbers: one JSON file a case, one line a column, floats to their last bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from tests.golden.recording import Numbers

FOLDER = Path(__file__).with_name("values")


class Recorded(NamedTuple):
    """A case's numbers and the machine they are from."""

    machine: dict[str, str]
    numbers: Numbers


def file_of(case: str) -> Path:
    """Where the numbers of a case are."""
    return FOLDER / f"{case}.json"


def read(case: str) -> Recorded:
    """The recorded numbers of a case."""
    content = json.loads(file_of(case).read_text(encoding="utf-8"))
    return Recorded(content.pop("machine"), content)


def write(case: str, recorded: Recorded) -> None:
    """Keep the numbers of a case."""
    FOLDER.mkdir(exist_ok=True)
    parts = {"machine": recorded.machine, **recorded.numbers}
    text = ",\n".join(f'"{kind}": {{\n{_lines(columns)}\n}}' for kind, columns in parts.items())
    file_of(case).write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


def _lines(columns: dict[str, str] | dict[str, list[object]]) -> str:
    return ",\n".join(f'"{name}": {json.dumps(values)}' for name, values in columns.items())
