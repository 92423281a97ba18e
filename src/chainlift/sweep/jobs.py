"""Jobs of a sweep: a run, or first stages that several runs share; they work in any process, on any machine.

A job is plain data. Its run folder records how far it has come, even if its process is killed: checkpoints during the
run, DONE at the end, FAILED with the last lines of an error. The same job goes on from there. If two processes get the
same job, the folder's lock makes one wait until the other has ended, so that the work is done once.
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
from chainlift.stages import sharing
from chainlift.stages.failures import Interrupted, explain
from chainlift.stages.recipe import Recipe, build

LAST_LINES = 20
VISIBLE_SECONDS = 60.0  # until this node sees a file from another one, through a network file system's cache
TRIES = 3
"""Starts of a job whose process or machine is lost; a job that fails by itself is not tried again."""
Status = Literal["done", "failed", "stopped"]


@dataclass(frozen=True)
class Job:
    """One run folder to fill."""

    run_id: str
    content: dict[str, Any]
    """The recipe, as keys and values."""
    out: str
    """The folder of run folders."""
    after: str | None = None
    """The run_id of the job that trains this one's first stages: this job begins once that one has ended."""
    wave: int = 0
    """The length of the chain of jobs that end before this one begins."""
    is_shared: bool = False
    """Whether the job only trains first stages that other jobs share."""

    @property
    def folder(self) -> RunFolder:
        """The job's run folder."""
        return RunFolder(Path(self.out) / self.run_id)


Tell = Callable[[Job, Status, float], None]
"""Callback for the end of each job: (job, how it ended, seconds that it took)."""


def plan(recipes: Sequence[Recipe], out: Path) -> list[Job]:
    """The jobs that recipes need: first those that train shared first stages, then one for each unfinished run."""
    out = out.absolute()  # other processes, on other machines, have other working directories
    missing = [recipe for recipe in recipes if not RunFolder(out / recipe.run_id).done]
    num_sharing = Counter(prefix.run_id for recipe in missing for prefix in recipe.prefixes)
    shared: dict[str, Job] = {}
    jobs = []
    for recipe in missing:
        after, wave = None, 0
        for prefix in recipe.prefixes:
            if num_sharing[prefix.run_id] > 1 and not sharing.is_trained(prefix, out):
                job = Job(prefix.run_id, prefix.model_dump(), str(out), after=after, wave=wave, is_shared=True)
                shared.setdefault(prefix.run_id, job)
                after, wave = prefix.run_id, wave + 1
        jobs.append(Job(recipe.run_id, recipe.model_dump(), str(out), after=after, wave=wave))
    return [*shared.values(), *jobs]


def ready(waiting: Sequence[Job], open_ids: set[str]) -> Job | None:
    """The first job that may begin, as the job that it waits for is not in `open_ids` (run_ids); None if none may."""
    return next((job for job in waiting if job.after is None or job.after not in open_ids), None)


def work(job: Job, *, threads: int | None = None) -> Status:
    """Work on a job and return how it ended: `done`, `failed` with the reason in FAILED, or `stopped` by a signal.

    No error leaves this function.
    """
    import torch

    from chainlift.stages import pipeline

    if threads is not None:
        torch.set_num_threads(threads)
    try:
        recipe = build(job.content)
        job.folder.forget_failure()
        _check_shared_stages(job)
        pipeline.run(recipe, Path(job.out), Reporter(quiet=True), wait=True)
    except Interrupted:
        return "stopped"
    except Exception as error:
        job.folder.fail(_last_lines(error))
        return "failed"
    job.folder.forget_failure()  # which another process, trying at the same time, has left
    return "done"


def timed_work(job: Job, threads: int) -> tuple[Status, float]:
    """`work` on a job; (how it ended, seconds that it took)."""
    started = time.monotonic()
    return work(job, threads=threads), time.monotonic() - started


def ended_here(job: Job, status: Status) -> Status:
    """The status of a job from another node; `failed` if that is `done` and DONE does not appear in this folder."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while status == "done" and not job.folder.done:
        if time.monotonic() > deadline:
            job.folder.fail("it has ended on another node, but not in this folder: all nodes must see the same --out")
            return "failed"
        time.sleep(0.2)
    return status


def _check_shared_stages(job: Job) -> None:
    """ValueError if the job that trains this one's first stages failed: training them again would fail, too."""
    if job.after is not None:
        shared = RunFolder(Path(job.out) / job.after)
        if not shared.done and shared.failure is not None:
            raise ValueError(f"its first stages, {job.after}, failed: {shared.failure_line}")


def _last_lines(error: Exception) -> str:
    """One line for an error that the user can fix; the end of the traceback for a bug."""
    try:
        return explain(error)[1]
    except Exception:
        lines = "".join(traceback.format_exception(error)).splitlines()
        return "\n".join(lines[-LAST_LINES:])
