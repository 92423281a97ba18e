"""What a launcher carries out: a run, or first stages that several runs wait for; in any process, on any machine.

A job is plain data. Whatever happens to the process that works on it, the run folder holds how far it came: DONE at the
end, FAILED with the last lines of what went wrong, checkpoints in between. The same job goes on from there, and two
processes that are given the same job do it once: the folder's lock lets one wait until the other has ended.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chainlift.report.terminal.reporter import Reporter
from chainlift.runs.store import RunFolder
from chainlift.stages import recipe as recipes
from chainlift.stages import sharing
from chainlift.stages.failures import Interrupted, explain
from chainlift.stages.recipe import Recipe

LAST_LINES = 20
SEEN_SECONDS = 60.0  # until a file written on another node is seen here, through a network file system's cache
TRIES = 3
"""Of a job whose process or machine was lost; one that fails by itself is not tried again."""
Status = Literal["done", "failed", "stopped"]


@dataclass(frozen=True)
class Job:
    """One folder to be filled."""

    run_id: str
    content: dict[str, Any]
    """The recipe, as keys and values."""
    out: str
    """Folder of run folders."""
    after: str | None = None
    """The run_id of the job whose stages this one shares: it must not begin before that has ended."""
    wave: int = 0
    """How many jobs must have ended before it, one after the other."""
    is_shared: bool = False
    """Only what others begin with."""

    @property
    def folder(self) -> RunFolder:
        """Where the job's run is, or will be."""
        return RunFolder(Path(self.out) / self.run_id)


Tell = Callable[[Job, Status, float], None]
"""Receives the end of each job: (job, how it ended, seconds that it took)."""


def plan(chosen: Sequence[Recipe], out: Path) -> list[Job]:
    """The jobs that recipes need: one each that is not done, and before them first stages that two or more share."""
    out = out.absolute()  # other processes, on other machines, stand elsewhere
    missing = [one for one in chosen if not RunFolder(out / one.run_id).done]
    count = Counter(prefix.run_id for one in missing for prefix in one.prefixes)
    first: dict[str, Job] = {}
    jobs = []
    for one in missing:
        after, wave = None, 0
        for prefix in one.prefixes:
            if count[prefix.run_id] > 1 and not sharing.is_there(prefix, out):
                own = Job(prefix.run_id, prefix.model_dump(), str(out), after=after, wave=wave, is_shared=True)
                first.setdefault(prefix.run_id, own)
                after, wave = prefix.run_id, wave + 1
        jobs.append(Job(one.run_id, one.model_dump(), str(out), after=after, wave=wave))
    return [*first.values(), *jobs]


def ready(waiting: Sequence[Job], open_ids: set[str]) -> Job | None:
    """The first job that waits for none of those that are still open (run_ids), None if there is none."""
    return next((job for job in waiting if job.after is None or job.after not in open_ids), None)


def work(job: Job, *, threads: int | None = None) -> Status:
    """`done`, or `failed` with the reason in the folder's FAILED, or `stopped` after a signal; raises nothing else."""
    import torch

    from chainlift.stages import pipeline

    if threads is not None:
        torch.set_num_threads(threads)
    try:
        recipe = recipes.build(job.content)
        job.folder.forget_failure()
        _must_have_what_is_shared(job)
        pipeline.run(recipe, Path(job.out), Reporter(quiet=True), wait=True)
    except Interrupted:
        return "stopped"
    except Exception as error:
        job.folder.fail(_last_lines(error))
        return "failed"
    job.folder.forget_failure()  # of another process that tried at the same time
    return "done"


def timed_work(job: Job, threads: int) -> tuple[Status, float]:
    """How a job ended, as `work` says it, and the seconds that it took."""
    started = time.monotonic()
    return work(job, threads=threads), time.monotonic() - started


def ended_here(job: Job, status: Status) -> Status:
    """How a job ended that was carried out elsewhere: `failed` if it is said to be done, but never seen here."""
    patience = time.monotonic() + SEEN_SECONDS
    while status == "done" and not job.folder.done:
        if time.monotonic() > patience:
            job.folder.fail("it has ended on another node, but not in this folder: all nodes must see the same --out")
            return "failed"
        time.sleep(0.2)
    return status


def _must_have_what_is_shared(job: Job) -> None:
    """ValueError if the job that trains what this one shares failed: each that waited for it would fail like it."""
    if job.after is not None:
        shared = RunFolder(Path(job.out) / job.after)
        if not shared.done and shared.failure is not None:
            raise ValueError(f"what it begins with, {job.after}, failed: {shared.failure_line}")


def _last_lines(error: Exception) -> str:
    """One line for what the user can fix, the end of the traceback for a bug."""
    try:
        return explain(error)[1]
    except Exception:
        lines = "".join(traceback.format_exception(error)).splitlines()
        return "\n".join(lines[-LAST_LINES:])
