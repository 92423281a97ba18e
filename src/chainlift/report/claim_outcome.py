"""What became of a claim: the shape of claims/NAME.json, written and read here alone."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from chainlift import reading
from chainlift.measure.finding import Finding, verdict
from chainlift.report.figures.picture import Picture, picture_of, plain
from chainlift.runs.durable import write_file


@dataclass(frozen=True)
class Seconds:
    """How long runs trained."""

    median: float
    """A run, all of its stages together, a shared one included."""
    most: float
    """The longest run."""
    all: float
    """All runs, with a shared stage counted once."""


@dataclass(frozen=True)
class Outcome:
    """A claim's findings and figures, and how its runs were made."""

    claim: str
    statement: str
    seeds: list[int]
    runs: int
    quick: bool
    """The runs were smaller ones of the same shape."""
    findings: list[Finding]
    pictures: list[Picture]
    date: str
    """When it was judged, YYYY-MM-DD."""
    seconds: Seconds
    made_on: list[dict[str, Any]]
    """What the runs ran on (environment.json), the most frequent first, with `runs`, how many they were."""
    judged_on: dict[str, Any]
    """What the claim was judged on."""

    @property
    def verdict(self) -> str:
        """holds, fails in .. lines, or measured."""
        return verdict(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers that JSON can hold, with what follows from them; null for what is infinite or undefined."""
        lines = [
            plain({**asdict(line), "mean": line.mean, "ci95": line.ci95, "worst": line.worst, "holds": line.holds})
            for line in self.findings
        ]
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        pictures = [picture.as_dict() for picture in self.pictures]
        content |= {"findings": lines, "pictures": pictures, "seconds": asdict(self.seconds)}
        return {**content, "verdict": self.verdict}

    def write(self, file: Path) -> None:
        """Write the file whole or not at all."""
        write_file(file, json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n")


def read(file: Path) -> Outcome:
    """The outcome that a file holds; ValueError in one line if it is damaged or of another version."""
    again = f"`chainlift reproduce {file.stem}` writes it again"
    try:
        content = reading.json_mapping(file)
        missing = [field.name for field in fields(Outcome) if field.name not in content]
        if not missing:
            content = {field.name: content[field.name] for field in fields(Outcome)}
            content["findings"] = [_finding(line) for line in content["findings"]]
            content["pictures"] = [picture_of(picture) for picture in content["pictures"]]
            content["seconds"] = Seconds(**content["seconds"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"{file} is damaged; {again}") from error
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}; {again}")
    return Outcome(**content)


def _finding(content: dict[str, Any]) -> Finding:
    """A finding from its JSON, in which null stands for what is not finite."""
    line: dict[str, Any] = {field.name: content[field.name] for field in fields(Finding)}
    line["values"] = tuple(math.nan if value is None else value for value in content["values"])
    return Finding(**line)
