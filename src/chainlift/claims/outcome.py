"""Judge a claim by its finished runs, and write its outcome under out/claims."""

from __future__ import annotations

import datetime
import json
import statistics
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chainlift import reading
from chainlift.claims.claim import Claim
from chainlift.claims.finished import Finished
from chainlift.report.claim_outcome import Outcome, Seconds
from chainlift.report.figures import static
from chainlift.report.figures.claim_picture import findings_picture
from chainlift.report.terminal.claim_table import markdown
from chainlift.runs import environment
from chainlift.runs.durable import write_file


def judge(claim: Claim, finished: list[Finished], *, quick: bool = False) -> Outcome:
    """The outcome of a claim: findings, figures, and the time and machines of its finished runs."""
    seeds = sorted({run.recipe.seed for run in finished})
    findings = claim.check(finished)
    overview = findings_picture(claim.name, claim.statement, seeds, findings)
    return Outcome(
        claim=claim.name,
        statement=claim.statement,
        seeds=seeds,
        runs=len(finished),
        quick=quick,
        findings=findings,
        pictures=[*claim.pictures(finished), *([overview] if overview else [])],
        date=datetime.date.today().isoformat(),
        seconds=_seconds(finished),
        made_on=_made_on(finished),
        judged_on=environment.describe("cpu"),
    )


def write(outcome: Outcome, out: Path) -> None:
    """Write an outcome: NAME.json, NAME.md, and each picture as pdf, png and csv.

    The folder is out/claims, or out/claims/quick for a quick outcome.
    """
    folder = _folder(out, quick=outcome.quick)
    for picture in outcome.pictures:
        static.write(picture, folder)
    write_file(folder / f"{outcome.claim}.md", markdown(outcome.findings))
    outcome.write(folder / f"{outcome.claim}.json")
    _error_file(folder, outcome.claim).unlink(missing_ok=True)


def keep_error(claim: Claim, error: Exception, out: Path, *, quick: bool) -> Path:
    """Write the traceback of an error in a claim's check or figure, and return the file; `write` removes it."""
    file = _error_file(_folder(out, quick=quick), claim.name)
    write_file(file, "".join(traceback.format_exception(error)))
    return file


def _folder(out: Path, *, quick: bool) -> Path:
    """The folder of outcomes, made if missing."""
    folder = out / "claims" / "quick" if quick else out / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _error_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.error.txt"


def _made_on(finished: Sequence[Finished]) -> list[dict[str, Any]]:
    """The environments of the runs, each with its number of runs, the most frequent first."""
    environments = [reading.json_mapping(run.folder / "environment.json") for run in finished]
    counts = Counter(json.dumps(content, sort_keys=True) for content in environments)
    return [{"runs": count, **json.loads(text)} for text, count in counts.most_common()]


def _seconds(finished: Sequence[Finished]) -> Seconds:
    """The training time of the runs: median, longest, and the sum, in which a shared stage counts once."""
    runs, stages = [], {}
    for run in finished:
        seconds = {name: run.summary[name]["seconds"] for name in run.summary["stages"]}
        runs.append(sum(seconds.values()))
        stages |= {(name, run.recipe.stage_digest(name), run.recipe.seed): value for name, value in seconds.items()}
    return Seconds(statistics.median(runs), max(runs), sum(stages.values()))
