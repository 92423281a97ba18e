"""Many runs: what is done already is not done again, failures are kept."""

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


def wanted(chosen: Sequence[Recipe], out: Path, *, retry: bool) -> list[Recipe]:
    """The recipes whose runs are done, begun or missing; those that failed earlier, too, with `retry`."""
    return [one for one in chosen if retry or RunFolder(out / one.run_id).failure is None]


def complaint(undone: Sequence[str], of: int, out: Path) -> str:
    """One line about the runs (run_ids) that `run_all` could not do: some failed, others were only taken away."""
    failed = sum(RunFolder(out / run_id).failure is not None for run_id in undone)
    lines = []
    if failed:
        lines.append(f"{failed} of {of} runs failed; --retry tries them again, with the same command")
    if failed < len(undone):
        lines.append(f"{len(undone) - failed} of {of} runs were stopped; the same command goes on with them")
    return "; ".join(lines)


def run_all(
    chosen: Sequence[Recipe], out: Path, reporter: Reporter, options: Options, *, retry: bool = True
) -> list[str]:
    """The run_ids of those recipes whose runs failed; all others are done under `out` when this returns.

    retry: try runs again that failed earlier. Pages and figures are not made for each of hundreds of runs; `chainlift
    report` makes them of any. Interrupted after Ctrl-C, when every run has kept its checkpoint.
    """
    planned = jobs.plan(wanted(chosen, out, retry=retry), out)
    done = sum(RunFolder(out / one.run_id).done for one in chosen)
    if done:
        reporter.say(f"{done} of {len(chosen)} runs are done already")
    started, ended = time.monotonic(), 0

    def tell(job: Job, status: Status, seconds: float) -> None:
        nonlocal ended
        ended += status != "stopped"
        spent = time.monotonic() - started
        told = f"{status} after {seconds:.0f} s" if status != "failed" else f"failed: {job.folder.failure_line}"
        remaining = f"about {spent / ended * (len(planned) - ended):.0f} s left" if ended else ""
        reporter.say(f"  {ended}/{len(planned)}  {job.run_id}  {told}  {remaining}".rstrip())

    if planned and not launchers.run(planned, tell, options, reporter.say):
        raise Interrupted
    return [one.run_id for one in chosen if not RunFolder(out / one.run_id).done]
