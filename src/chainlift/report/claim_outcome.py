"""The outcome of a claim, and its file claims/NAME.json; only this module writes and reads it."""

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
    """Training times of a claim's runs, in seconds."""

    median: float
    """Median time of a run: all of its stages, shared ones included."""
    most: float
    """Time of the longest run."""
    all: float
    """Total of all runs; a shared stage counts once."""


@dataclass(frozen=True)
class Outcome:
    """A claim's findings and figures, and how its runs were made."""

    claim: str
    statement: str
    seeds: list[int]
    runs: int
    quick: bool
    """Whether the runs were smaller ones of the same shape."""
    findings: list[Finding]
    pictures: list[Picture]
    date: str
    """Date of the evaluation, YYYY-MM-DD."""
    seconds: Seconds
    made_on: list[dict[str, Any]]
    """Environments of the runs (environment.json), the most frequent first; `runs` is the number of runs in each."""
    judged_on: dict[str, Any]
    """The environment in which the claim was evaluated."""

    @property
    def verdict(self) -> str:
        """`holds`, `fails in .. lines`, or `measured`."""
        return verdict(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The outcome for JSON, with derived values; None for numbers that are not finite."""
        content = asdict(self)
        for line, finding in zip(content["findings"], self.findings, strict=True):
            line |= {"mean": finding.mean, "ci95": finding.ci95, "worst": finding.worst, "holds": finding.holds}
        return plain({**content, "verdict": self.verdict})

    def write(self, file: Path) -> None:
        """Write the file atomically."""
        write_file(file, json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n")


def read(file: Path) -> Outcome:
    """Read an outcome from a file; ValueError in one line if it is damaged or from another version."""
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
    """The nested keys of JSON content, to recognize another version's file that lacks a key with a default here."""
    if isinstance(value, dict):
        return {key: _keys(content) for key, content in value.items()}
    return [_keys(content) for content in value] if isinstance(value, list) else None


def _measured(value: Any, key: str = "") -> Any:
    """JSON content with NaN for null inside `values`, where null stands for a missing measurement."""
    if isinstance(value, dict):
        return {name: _measured(content, name) for name, content in value.items()}
    if isinstance(value, list):
        return [_measured(content, key) for content in value]
    return math.nan if value is None and key == "values" else value
