"""Who carries out the jobs of a sweep: processes of this machine, a Ray cluster or Slurm; all in the same way.

Each launcher is a function `run_jobs(jobs, tell, ...)` of a file of its own. The numbers do not depend on which one it
is, as long as a job computes with the same number of threads: sums in another order end in other digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

from chainlift.runs.environment import cores
from chainlift.settings import suggest
from chainlift.sweep import local, on_ray, on_slurm
from chainlift.sweep.jobs import Job, Tell

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
    """What a launcher is told; ValueError in one line, when it is made, for what does not go together."""

    launcher: str = "local"
    """local, ray or slurm."""
    workers: int | None = None
    """At most so many jobs at once; None: one a core (local), as many as the cluster has room for (Ray, Slurm)."""
    threads: int | None = None
    """Of each job; None: the cores divided among the workers (local), as many as it has CPUs (Ray, Slurm)."""
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
        """CPU threads that a job computes with."""
        share = cores() // (self.workers or cores()) if self.launcher == "local" else int(self.cpus)
        return self.threads or max(share, 1)


def run(jobs: Sequence[Job], tell: Tell, options: Options) -> bool:
    """Whether all was carried out (failed jobs included); False if the user stopped it. `tell` hears of each end.

    ValueError in one line for what the user can mend: an extra that is not installed, a cluster that is not there.
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
        )
    return local.run_jobs(jobs, tell, workers=options.workers or cores(), threads=options.threads_each)
