"""Who carries out the jobs of a sweep: processes of this machine, a Ray cluster or Slurm; all in the same way.

Each launcher is a function `run_jobs(jobs, tell, ...)` of a file of its own. The numbers do not depend on which one it
is, as long as a job computes with the same number of threads: sums in another order end in other digits.
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
_ONLY: dict[str, tuple[Launcher, ...]] = {
    "address": ("ray",),
    "cpus": ("ray", "slurm"),
    "gpus": ("ray", "slurm"),
    "partition": ("slurm",),
    "minutes": ("slurm",),
    "memory_gb": ("slurm",),
}


@dataclass(frozen=True)
class Options:
    """A launcher's options; ValueError in one line, when it is made, for what does not go together."""

    launcher: str = "local"
    """local, ray or slurm."""
    workers: int | None = None
    """At most so many jobs at once; None: one a core (local), as many as the cluster has room for (Ray, Slurm)."""
    threads: int | None = None
    """Of each job; None: OMP_NUM_THREADS, else the cores divided among the workers (local), or as many as it has CPUs
    (Ray, Slurm). A recipe's own `threads` comes before."""
    address: str | None = None
    """Of the Ray cluster; None starts one here."""
    cpus: float = 1
    """Reserved for each job; Slurm gives whole ones."""
    gpus: float = 0
    """Reserved for each job; a part of one only with Ray."""
    partition: str | None = None
    """Of Slurm; None: its default."""
    minutes: int | None = None
    """After which Slurm ends a job and queues it again; None: on_slurm.MINUTES."""
    memory_gb: float | None = None
    """That Slurm reserves for each job; None: its default."""

    def __post_init__(self) -> None:
        known = get_args(Launcher)
        if self.launcher not in known:
            guess = suggest(self.launcher, known)
            raise ValueError(f"--launcher: {self.launcher!r} is none of {', '.join(known)}{guess}")
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
        for name, launchers in _ONLY.items():
            if getattr(self, name) != defaults[name] and self.launcher not in launchers:
                option, fitting = name.replace("_", "-"), " or ".join(launchers)
                raise ValueError(f"--{option} goes with --launcher {fitting} only, not with {self.launcher}")

    @property
    def at_once(self) -> int | None:
        """Jobs at once; None where a cluster decides."""
        return self.workers or (cores() if self.launcher == "local" else None)

    @property
    def threads_each(self) -> int:
        """CPU threads that a job computes with, unless its recipe has `threads` of its own."""
        return self._threads()[0]

    def _threads(self) -> tuple[int, str]:
        """(threads of a job, where the number is from)."""
        if self.threads is not None:
            return self.threads, "--threads"
        if self.launcher != "local":
            return max(int(self.cpus), 1), "--cpus"
        asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # further numbers: of nested teams
        if asked.isdecimal() and int(asked) > 0:
            return int(asked), "OMP_NUM_THREADS"
        return max(cores() // (self.workers or cores()), 1), f"{cores()} cores"

    def sentence(self, jobs: Sequence[Job]) -> str:
        """How jobs will be carried out, in one line."""
        threads, source = self._threads()
        shared = sum(job.is_shared for job in jobs)
        runs = counted(len(jobs) - shared, "run")
        before = f" after {counted(shared, 'shared stage')}" if shared else ""
        where = "" if self.launcher == "local" else f" through {self.launcher}"
        at_once = "as many at once as the cluster has room for" if self.at_once is None else f"{self.at_once} at once"
        own = {number for job in jobs if (number := job.content.get("threads")) is not None}
        each = f"{counted(threads, 'thread')} each ({source})"
        if own:
            numbers = " or ".join(map(str, sorted(own)))
            all_own = all(job.content.get("threads") is not None for job in jobs)
            each = f"threads={numbers} each (the recipe's)" if all_own else f"{each}, or the recipe's own ({numbers})"
        return f"{runs}{before}{where}, {at_once}, {each}"


def run(jobs: Sequence[Job], tell: Tell, options: Options, say: Say = silent) -> bool:
    """Whether all was carried out (failed jobs included); False if the user stopped it. `tell` receives each end, `say`
    from time to time what the sweep waits for.

    ValueError in one line for what the user can fix: an extra that is not installed, a cluster that is not there.
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
            threads=options.threads_each,
            say=say,
            beginning=options.sentence(jobs),
        )
    if options.launcher == "slurm":
        return on_slurm.run_jobs(
            jobs,
            tell,
            workers=options.workers,
            cpus=options.cpus,
            gpus=int(options.gpus),
            threads=options.threads_each,
            partition=options.partition,
            minutes=options.minutes or on_slurm.MINUTES,
            memory_gb=options.memory_gb,
            say=say,
            beginning=options.sentence(jobs),
        )
    say(options.sentence(jobs))
    return local.run_jobs(jobs, tell, workers=options.workers or cores(), threads=options.threads_each, say=say)
