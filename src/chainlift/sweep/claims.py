"""A claim: the runs that decide it, and the check that turns them into findings with a verdict."""

from __future__ import annotations

import datetime
import json
import math
import statistics
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from chainlift import reading
from chainlift.measure.finding import Finding, verdict
from chainlift.report import picture_print
from chainlift.report.claim_picture import findings_picture
from chainlift.report.claim_table import markdown
from chainlift.report.picture import Picture, plain
from chainlift.runs import environment
from chainlift.runs.durable import write_file
from chainlift.stages.recipe import Recipe
from chainlift.sweep.grid import Finished

QUICK_STAGE_1 = (
    "model.family=mistral", "model.width=64", "pretrain.batch_size=128", "pretrain.optimizer=muon", "pretrain.lr=3e-3",
    "pretrain.warmup=5", "pretrain.schedule=linear", "pretrain.hold=0.2", "pretrain.average_tail=1",
    "pretrain.average_window=15",
)  # fmt: skip
"""Stage 1 on sums with a transformer at quick size: chains of 10 to 12 digits are exact after 150 to 250 steps."""


class Runs(Protocol):
    """The recipes that a claim needs."""

    def __call__(self, seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
        """For some seeds; `quick`: smaller ones of the same shape."""
        ...


@dataclass(frozen=True)
class Claim:
    """One row of the claims table."""

    name: str
    statement: str
    runs: Runs
    check: Callable[[list[Finished]], list[Finding]]
    """Findings from those runs."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Those that it is run with unless others are asked for."""
    apart: bool = False
    """Not among all claims: it needs an extra, and more time than the others."""
    pictures: Callable[[list[Finished]], list[Picture]] = lambda finished: []
    """What shows more than the findings do."""


@dataclass(frozen=True)
class Outcome:
    """What became of a claim."""

    claim: Claim
    seeds: list[int]
    findings: list[Finding]
    num_runs: int
    pictures: list[Picture] = field(default_factory=list)
    quick: bool = False

    @property
    def verdict(self) -> str:
        """holds, fails in .. lines, or measured."""
        return verdict(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers that JSON can hold; null stands for what is infinite or undefined."""
        lines = [
            plain({**asdict(line), "mean": line.mean, "ci95": line.ci95, "worst": line.worst, "holds": line.holds})
            for line in self.findings
        ]
        about = {"claim": self.claim.name, "statement": self.claim.statement, "verdict": self.verdict}
        counts = {"seeds": self.seeds, "runs": self.num_runs, "quick": self.quick}
        return {**about, **counts, "findings": lines, "pictures": [one.as_dict() for one in self.pictures]}


def judge(claim: Claim, finished: list[Finished], *, quick: bool = False) -> Outcome:
    """What the finished runs of a claim say about it."""
    seeds = sorted({run.recipe.seed for run in finished})
    findings = claim.check(finished)
    whole = findings_picture(claim.name, claim.statement, seeds, findings)
    pictures = [*claim.pictures(finished), *([whole] if whole else [])]
    return Outcome(claim, seeds, findings, len(finished), pictures, quick)


def write(outcome: Outcome, finished: list[Finished], out: Path) -> None:
    """The files of an outcome: out/claims/NAME.json and .md, and of each picture pdf, png and csv.

    A quick one's stand in out/claims/quick.
    """
    name, folder = outcome.claim.name, _folder(out, quick=outcome.quick)
    made = {"date": datetime.date.today().isoformat(), "seconds": _seconds(finished)}
    told = {**outcome.as_dict(), **made, "made_on": _made_on(finished), "judged_on": environment.describe("cpu")}
    for picture in outcome.pictures:
        picture_print.write(picture, folder)
    write_file(folder / f"{name}.md", markdown(outcome.findings))
    write_file(folder / f"{name}.json", json.dumps(told, indent=2, allow_nan=False) + "\n")
    _error_file(folder, name).unlink(missing_ok=True)


def keep_error(claim: Claim, error: Exception, out: Path, *, quick: bool) -> Path:
    """The file into which the traceback of an error went that kept a claim from being judged; a success removes it."""
    file = _error_file(_folder(out, quick=quick), claim.name)
    write_file(file, "".join(traceback.format_exception(error)))
    return file


def _folder(out: Path, *, quick: bool) -> Path:
    """Where outcomes are written."""
    folder = out / "claims" / "quick" if quick else out / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _error_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.error.txt"


def _made_on(finished: list[Finished]) -> list[dict[str, Any]]:
    """What the runs ran on, the most frequent first, with how many they were; runs of one claim may differ in it."""
    described = [reading.json_mapping(run.folder / "environment.json") for run in finished]
    counts = Counter(json.dumps(one, sort_keys=True) for one in described)
    return [{"runs": count, **json.loads(text)} for text, count in counts.most_common()]


def _seconds(finished: list[Finished]) -> dict[str, float]:
    """{median, most, all}: how long a run trained, all of its stages together, a shared one included; and all runs,
    with a shared stage counted once.
    """
    spent, each = [], {}
    for run in finished:
        seconds = {name: run.summary[name]["seconds"] for name in run.summary["stages"]}
        spent.append(sum(seconds.values()))
        each |= {(name, run.recipe.stage_digest(name), run.recipe.seed): value for name, value in seconds.items()}
    return {"median": statistics.median(spent), "most": max(spent), "all": sum(each.values())}


def by_seed(finished: list[Finished], value: Callable[[Finished], float], *keys: str) -> dict[Any, tuple[float, ...]]:
    """{setting: values, one a seed} of runs; the setting is the value of a dotted key, or a tuple of several keys'."""
    found: dict[Any, dict[int, float]] = {}
    for run in finished:
        setting = tuple(run.recipe.setting(key) for key in keys)
        found.setdefault(setting[0] if len(keys) == 1 else setting, {})[run.recipe.seed] = value(run)
    return {setting: tuple(values[seed] for seed in sorted(values)) for setting, values in sorted(found.items())}


def after(stage: str, key: str) -> Callable[[Finished], float]:
    """What a run's summary tells of a stage, as a function of the run; not a number where it was not defined."""

    def value(run: Finished) -> float:
        found = run.summary[stage][key]
        return math.nan if found is None else float(found)

    return value


def first_long(rows: list[dict[str, Any]]) -> float:
    """The number of the first evaluation at which greedy responses are long; infinite if there is none."""
    return next((float(n) for n, row in enumerate(rows) if row["greedy"]["length_median"] > 1), math.inf)
