"""What became of a claim: the shape of claims/NAME.json, written and read here alone."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from chainlift import reading
from chainlift.measure.finding import Finding, verdict
from chainlift.report.figures.picture import Picture, plain
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
        content = asdict(self)
        for line, finding in zip(content["findings"], self.findings, strict=True):
            line |= {"mean": finding.mean, "ci95": finding.ci95, "worst": finding.worst, "holds": finding.holds}
        return plain({**content, "verdict": self.verdict})

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
            outcome = reading.checked(_measured(content), Outcome, str(file))
            if _keys(outcome.as_dict()) == _keys(content):
                return outcome
            raise ValueError("it has other keys")
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} is damaged; {again}") from error
    raise ValueError(f"{file} lacks {', '.join(missing)}; {again}")


def _keys(value: Any) -> Any:
    """JSON without its values: what another version wrote may lack a key that has a default here."""
    if isinstance(value, dict):
        return {key: _keys(content) for key, content in value.items()}
    return [_keys(content) for content in value] if isinstance(value, list) else None


def _measured(value: Any, key: str = "") -> Any:
    """JSON with not a number for null where `values` stand: there null is what was not measured."""
    if isinstance(value, dict):
        return {name: _measured(content, name) for name, content in value.items()}
    if isinstance(value, list):
        return [_measured(content, key) for content in value]
    return math.nan if value is None and key == "values" else value
