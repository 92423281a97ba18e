"""Launchers, which carry out the jobs of a sweep: processes of this machine, a Ray cluster or Slurm.

Each launcher is a function `run_jobs(jobs, tell, ...)` in its own file. Results do not depend on the launcher as long
as a job computes with the same number of threads: sums in another order differ in their last digits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

from chainlift.launcher import cores
from chainlift.settings import suggest
from chainlift.sweep import local, on_ray, on_slurm
from chainlift.sweep.jobs import Job, Tell
from chainlift.sweep.waiting import Say, counted, silent

Launcher = Literal["local", "ray", "slurm"]
_LAUNCHERS_WITH: dict[str, tuple[Launcher, ...]] = {
    "address": ("ray",),
    "cpus": ("ray", "slurm"),
    "gpus": ("ray", "slurm"),
    "partition": ("slurm",),
    "minutes": ("slurm",),
    "memory_gb": ("slurm",),
}


@dataclass(frozen=True)
class Options:
    """A launcher and its options; ValueError in one line for options that do not go together."""

    launcher: str = "local"
    """local, ray or slurm."""
    workers: int | None = None
    """The most jobs at once; None: one a core (local), as many as the cluster has room for (Ray, Slurm)."""
    threads: int | None = None
    """CPU threads of each job; None: OMP_NUM_THREADS, else the cores divided among the workers (local), or the job's
    CPUs (Ray, Slurm). `threads` in a recipe takes precedence."""
    address: str | None = None
    """Address of the Ray cluster; None starts one here."""
    cpus: float = 1
    """CPUs reserved for each job; Slurm gives whole ones."""
    gpus: float = 0
    """GPUs reserved for each job; a part of one only with Ray."""
    partition: str | None = None
    """Partition of Slurm; None: its default."""
    minutes: int | None = None
    """Time after which Slurm ends a job and queues it again; None: on_slurm.MINUTES."""
    memory_gb: float | None = None
    """Memory that Slurm reserves for each job; None: its default."""

    def __post_init__(self) -> None:
        known = get_args(Launcher)
        if self.launcher not in known:
            guess = suggest(self.launcher, known)
            raise ValueError(f"--launcher: {self.launcher!r} is not one of {', '.join(known)}{guess}")
        for name in ("workers", "threads", "minutes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name} must be 1 or more, not {value}")
        if self.cpus <= 0:
            raise ValueError(f"--cpus must be more than 0, not {self.cpus:g}")
        if self.gpus < 0:
            raise ValueError(f"--gpus must be 0 or more, not {self.gpus:g}")
        if self.memory_gb is not None and self.memory_gb <= 0:
            raise ValueError(f"--memory-gb must be more than 0, not {self.memory_gb:g}")
        if self.launcher == "slurm" and self.gpus != int(self.gpus):
            raise ValueError(f"--gpus must be a whole number with --launcher slurm, not {self.gpus:g}")
        defaults = {field.name: field.default for field in fields(self)}
        for name, launchers in _LAUNCHERS_WITH.items():
            if getattr(self, name) != defaults[name] and self.launcher not in launchers:
                option, allowed = name.replace("_", "-"), " or ".join(launchers)
                raise ValueError(f"--{option} goes with --launcher {allowed} only, not with {self.launcher}")

    @property
    def max_running(self) -> int | None:
        """The most jobs at once; None where a cluster decides."""
        return self.workers or (cores() if self.launcher == "local" else None)

    @property
    def threads_per_job(self) -> int:
        """CPU threads of a job whose recipe does not set `threads`."""
        return self._threads()[0]

    def _threads(self) -> tuple[int, str]:
        """(threads of a job, the option or variable that sets it)."""
        if self.threads is not None:
            return self.threads, "--threads"
        if self.launcher != "local":
            return max(int(self.cpus), 1), "--cpus"
        omp_threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # then those of nested teams
        if omp_threads.isdecimal() and int(omp_threads) > 0:
            return int(omp_threads), "OMP_NUM_THREADS"
        return max(cores() // (self.workers or cores()), 1), f"{cores()} cores"

    def plan_line(self, jobs: Sequence[Job]) -> str:
        """One line that says how jobs will be carried out: how many, where, how many at once, with which threads."""
        threads, source = self._threads()
        num_shared = sum(job.is_shared for job in jobs)
        runs = counted(len(jobs) - num_shared, "run")
        before = f" after {counted(num_shared, 'shared stage')}" if num_shared else ""
        where = "" if self.launcher == "local" else f" through {self.launcher}"
        limit = self.max_running
        at_once = "as many at once as the cluster has room for" if limit is None else f"{limit} at once"
        from_recipes = [job.content.get("threads") for job in jobs]
        each = f"{counted(threads, 'thread')} each ({source})"
        if distinct := {number for number in from_recipes if number is not None}:
            numbers = " or ".join(map(str, sorted(distinct)))
            if None in from_recipes:
                each += f", or the recipe's own ({numbers})"
            else:
                each = f"threads={numbers} each (the recipe's)"
        return f"{runs}{before}{where}, {at_once}, {each}"


def run(jobs: Sequence[Job], tell: Tell, options: Options, say: Say = silent) -> bool:
    """Carry out jobs; True when all have ended, failed ones included, False if the user stopped them.

    tell: receives the end of each job. say: receives, from time to time, a line about what the sweep waits for.
    ValueError in one line for what the user can fix, such as a missing extra or a cluster that does not answer.
    """
    if not jobs:
        return True
    if options.launcher == "ray":
        return on_ray.run_jobs(
            jobs,
            tell,
            address=options.address,
            workers=options.workers,
            cpus=options.cpus,
            gpus=options.gpus,
            threads=options.threads_per_job,
            say=say,
            beginning=options.plan_line(jobs),
        )
    if options.launcher == "slurm":
        return on_slurm.run_jobs(
            jobs,
            tell,
            workers=options.workers,
            cpus=options.cpus,
            gpus=int(options.gpus),
            threads=options.threads_per_job,
            partition=options.partition,
            minutes=options.minutes or on_slurm.MINUTES,
            memory_gb=options.memory_gb,
            say=say,
            beginning=options.plan_line(jobs),
        )
    say(options.plan_line(jobs))
    return local.run_jobs(jobs, tell, workers=options.workers or cores(), threads=options.threads_per_job, say=say)
