"""Run many recipes: finished runs are skipped, and failures are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from chainlift.report.terminal.reporter import Reporter
from chainlift.runs.store import RunFolder
from chainlift.stages.failures import Interrupted
from chainlift.stages.recipe import Recipe
from chainlift.sweep import jobs, launchers
from chainlift.sweep.jobs import Job, Status
from chainlift.sweep.launchers import Options


def without_failed(recipes: Sequence[Recipe], out: Path, *, retry: bool) -> list[Recipe]:
    """The recipes without those whose runs failed earlier; with `retry`, all of them."""
    return [recipe for recipe in recipes if retry or RunFolder(out / recipe.run_id).failure is None]


def unfinished_line(unfinished: Sequence[str], of: int, out: Path) -> str:
    """One line that counts the runs (run_ids) that `run_all` did not finish: failed ones and stopped ones."""
    num_failed = sum(RunFolder(out / run_id).failure is not None for run_id in unfinished)
    parts = []
    if num_failed:
        parts.append(f"{num_failed} of {of} runs failed; --retry tries them again, with the same command")
    if num_failed < len(unfinished):
        parts.append(f"{len(unfinished) - num_failed} of {of} runs were stopped; the same command goes on with them")
    return "; ".join(parts)


def run_all(
    recipes: Sequence[Recipe], out: Path, reporter: Reporter, options: Options, *, retry: bool = True
) -> list[str]:
    """Run recipes under `out` and return the run_ids of those that did not finish.

    retry: try runs again that failed earlier. A sweep writes no pages and figures; `chainlift report` writes those of
    any run. Interrupted after Ctrl-C, once every run has kept its checkpoint.
    """
    planned = jobs.plan(without_failed(recipes, out, retry=retry), out)
    num_done = sum(RunFolder(out / recipe.run_id).done for recipe in recipes)
    if num_done:
        reporter.say(f"{num_done} of {len(recipes)} runs are done already")
    started, num_ended = time.monotonic(), 0

    def tell(job: Job, status: Status, seconds: float) -> None:
        nonlocal num_ended
        num_ended += status != "stopped"
        spent = time.monotonic() - started
        outcome = f"{status} after {seconds:.0f} s" if status != "failed" else f"failed: {job.folder.failure_line}"
        remaining = f"about {spent / num_ended * (len(planned) - num_ended):.0f} s left" if num_ended else ""
        reporter.say(f"  {num_ended}/{len(planned)}  {job.run_id}  {outcome}  {remaining}".rstrip())

    if planned and not launchers.run(planned, tell, options, reporter.say):
        raise Interrupted
    return [recipe.run_id for recipe in recipes if not RunFolder(out / recipe.run_id).done]
