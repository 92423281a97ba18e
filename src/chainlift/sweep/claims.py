"""A claim: the runs that decide it, and the check that turns them into findings with a verdict."""

from __future__ import annotations

import datetime
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chainlift.measure.finding import Finding, verdict
from chainlift.recipe import Recipe
from chainlift.report.claim_figure import claim_figure
from chainlift.report.claim_table import markdown
from chainlift.report.terminal import Reporter
from chainlift.runs import environment
from chainlift.runs.store import write_atomically
from chainlift.sweep import grid
from chainlift.sweep.grid import Finished


@dataclass(frozen=True)
class Claim:
    """One row of the claims table."""

    name: str
    statement: str
    runs: Callable[[Sequence[int]], list[Recipe]]
    """The recipes that it needs, for some seeds."""
    check: Callable[[list[Finished]], list[Finding]]
    """Findings from those runs."""


@dataclass(frozen=True)
class Outcome:
    """What became of a claim."""

    claim: Claim
    seeds: list[int]
    findings: list[Finding]
    num_runs: int

    @property
    def verdict(self) -> str:
        """holds, fails in .. lines, or measured."""
        return verdict(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers that JSON can hold; null stands for what is infinite or undefined."""
        lines = [
            _plain({**asdict(line), "mean": line.mean, "ci95": line.ci95, "worst": line.worst, "holds": line.holds})
            for line in self.findings
        ]
        about = {"claim": self.claim.name, "statement": self.claim.statement, "verdict": self.verdict}
        return {**about, "seeds": self.seeds, "runs": self.num_runs, "findings": lines}


def reproduce(claim: Claim, seeds: Sequence[int], out: Path, reporter: Reporter) -> Outcome:
    """The outcome of a claim, once the runs that it lacks under `out` are made; also written to out/claims/NAME.*.

    ValueError for fewer than two seeds: a claim without an interval is none.
    """
    if len(set(seeds)) < 2:
        raise ValueError("--seeds: a claim needs at least two seeds, as its intervals are over seeds")
    reporter.say(f"{claim.name}: {claim.statement}")
    finished = grid.run_all(claim.runs(seeds), out, reporter)
    outcome = Outcome(claim, list(seeds), claim.check(finished), len(finished))
    folder = out / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    made = {"date": datetime.date.today().isoformat(), "seconds": _seconds(finished)}
    told = {**outcome.as_dict(), **made, "environment": environment.describe("cpu")}
    write_atomically(folder / f"{claim.name}.json", json.dumps(told, indent=2, allow_nan=False) + "\n")
    write_atomically(folder / f"{claim.name}.md", markdown(outcome.findings))
    drawn = claim_figure(outcome.findings)
    if drawn is not None:
        for ending in ("pdf", "png"):
            drawn.savefig(folder / f"{claim.name}.{ending}", dpi=160)
    return outcome


def _seconds(finished: list[Finished]) -> dict[str, float]:
    """{median, most}: how long a run trained, all of its stages together, a shared one included."""
    stages = ("pretrain", "posttrain", "continued_pretrain")
    spent = [sum(run.summary[stage]["seconds"] for stage in stages if stage in run.summary) for run in finished]
    return {"median": statistics.median(spent), "most": max(spent)}


def by_seed(finished: list[Finished], value: Callable[[Finished], float], *keys: str) -> dict[Any, tuple[float, ...]]:
    """{setting: values, one a seed} of runs; the setting is the value of a dotted key, or a tuple of several keys'."""
    found: dict[Any, dict[int, float]] = {}
    for run in finished:
        setting = tuple(_at(run.recipe, key) for key in keys)
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


def _at(recipe: Recipe, key: str) -> Any:
    node: Any = recipe
    for part in key.split("."):
        node = getattr(node, part)
    return node


def _plain(value: Any) -> Any:
    """The value with None for every number in it that is not finite."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
